//! The registry of hosts: added, proven, rotated, removed.

use identree_core::actor::Whence;
use identree_core::credential::{Authorization, Credential, HostKey, Proof, Request};
use identree_core::enrol::{EnrolRequest, Token};
use identree_core::id::Nonce;
use identree_core::rng::SeededEntropy;
use identree_core::store::MemoryStore;
use identree_core::testkit::journal::recorded;
use identree_core::time::ManualClock;

use super::*;

async fn hosts() -> Hosts {
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    Hosts::load(parts, MasterSecret::parse(&"m".repeat(32)).unwrap()).await.unwrap()
}

fn nowhere() -> Whence {
    Whence::default()
}

fn web1() -> HostName {
    HostName::parse("web1").unwrap()
}

#[tokio::test]
async fn a_secret_once_gone_never_works_again() {
    let hosts = hosts().await;
    let mut seen = vec![hosts.add(&web1(), None, None, None).await.unwrap().reveal().expose().clone()];
    assert!(matches!(hosts.add(&web1(), None, None, None).await, Err(HostsError::Exists(_))));
    seen.push(hosts.rotate(&web1(), None).await.unwrap().reveal().expose().clone());
    hosts.remove(&web1(), None).await.unwrap();
    assert!(hosts.find(&web1()).is_none());
    assert!(matches!(hosts.rotate(&web1(), None).await, Err(HostsError::Unknown(_))));
    seen.push(hosts.add(&web1(), None, None, None).await.unwrap().reveal().expose().clone());
    let current = hosts.secret(&web1()).unwrap();
    assert_eq!(seen.iter().filter(|secret| *secret == current.reveal().expose()).count(), 1);
    assert_eq!(seen.last(), Some(current.reveal().expose()));
    let journal = recorded(&*hosts.parts.store).await;
    assert_eq!(journal.len(), 4);
}

/// The same work for both: a derived secret, or a key, to check against, whether there is such a host or not.
#[tokio::test]
async fn an_unknown_host_costs_what_a_wrong_secret_costs() {
    let hosts = hosts().await;
    hosts.add(&web1(), None, None, None).await.unwrap();
    let stranger = HostName::parse("stranger").unwrap();
    for host in [&web1(), &stranger] {
        for proof in [Proof::Mac([7; 32]), Proof::Signature([7; 64])] {
            let claimed = Authorization { host: host.clone(), time_secs: 0, proof };
            let mut checked = 0;
            let requests = ["a", "b"].into_iter().inspect(|_| checked += 1);
            let requests = requests.map(|authority| request(authority, host));
            assert!(hosts.prove(&claimed, requests).is_none());
            assert_eq!(checked, 2, "{host} {:?}", claimed.proof);
        }
    }
}

fn request<'a>(authority: &'a str, host: &'a HostName) -> Request<'a> {
    Request { method: "GET", authority, target: "/", host, time_secs: 0, body: b"" }
}

fn enrolling(token: &Token, seed: u8) -> EnrolRequest {
    EnrolRequest::new(token, &HostKey::from_seed(&[seed; 32]), Nonce::from_bytes([seed; 32]))
}

const LIFE: Duration = Duration::from_secs(900);

fn proves(hosts: &Hosts, credential: &Credential) -> bool {
    let host = web1();
    let claimed = credential.authorize(&request("a", &host));
    hosts.prove(&claimed, std::iter::once(request("a", &host))).is_some()
}

/// Each step gives something and takes the other thing away, for good.
#[tokio::test]
async fn a_host_has_one_credential_at_a_time_and_none_comes_back() {
    let hosts = hosts().await;
    let secret = Credential::Secret(hosts.add(&web1(), None, None, None).await.unwrap());
    let [first, second] = [1, 2].map(|seed| Credential::Key(HostKey::from_seed(&[seed; 32])));
    let is = |works: [bool; 3]| {
        assert_eq!([proves(&hosts, &secret), proves(&hosts, &first), proves(&hosts, &second)], works);
    };
    let token = hosts.invite(&web1(), LIFE, Revoke::WhenEnrolled, None).await.unwrap();
    is([true, false, false]);
    hosts.enrol(&enrolling(&token, 1), &nowhere()).await.unwrap();
    is([false, true, false]);
    assert!(matches!(hosts.rotate(&web1(), None).await, Err(HostsError::HasKey(_))));
    let token = hosts.invite(&web1(), LIFE, Revoke::WhenEnrolled, None).await.unwrap();
    is([false, true, false]);
    hosts.enrol(&enrolling(&token, 2), &nowhere()).await.unwrap();
    is([false, false, true]);
    hosts.invite(&web1(), LIFE, Revoke::Now, None).await.unwrap();
    is([false, false, false]);
    hosts.remove(&web1(), None).await.unwrap();
    hosts.add(&web1(), None, None, None).await.unwrap();
    is([false, false, false]);
}

#[tokio::test]
async fn a_token_is_for_one_host_one_time_and_a_short_time() {
    let hosts = hosts().await;
    let web2 = HostName::parse("web2").unwrap();
    let token = hosts.add_invited(&web1(), None, None, LIFE, None).await.unwrap();
    let other = hosts.add_invited(&web2, None, None, LIFE, None).await.unwrap();
    // Held by somebody on web1, who would like to be web2.
    let stolen = EnrolRequest { host: web2.clone(), token: other.id(), ..enrolling(&token, 3) };
    assert!(matches!(hosts.enrol(&stolen, &nowhere()).await, Err(EnrolRefusal::Stranger)));
    let renamed = EnrolRequest { host: web2.clone(), ..enrolling(&token, 3) };
    assert!(matches!(hosts.enrol(&renamed, &nowhere()).await, Err(EnrolRefusal::Stranger)));
    let (_, since) = hosts.enrol(&enrolling(&token, 1), &nowhere()).await.unwrap();
    // The answer was lost: the same key again is answered alike. Another key is not.
    assert_eq!(hosts.enrol(&enrolling(&token, 1), &nowhere()).await.unwrap().1, since);
    assert!(matches!(hosts.enrol(&enrolling(&token, 2), &nowhere()).await, Err(EnrolRefusal::Used)));
    // A newer token withdraws the older, a removal every one.
    let newer = hosts.invite(&web2, LIFE, Revoke::WhenEnrolled, None).await.unwrap();
    assert!(matches!(hosts.enrol(&enrolling(&other, 4), &nowhere()).await, Err(EnrolRefusal::Withdrawn)));
    hosts.remove(&web2, None).await.unwrap();
    assert!(matches!(hosts.enrol(&enrolling(&newer, 4), &nowhere()).await, Err(EnrolRefusal::Stranger)));
    hosts.add_invited(&web2, None, None, LIFE, None).await.unwrap();
    assert!(
        matches!(hosts.enrol(&enrolling(&newer, 4), &nowhere()).await, Err(EnrolRefusal::Stranger)),
        "another registration"
    );
    let kinds: Vec<_> = recorded(&*hosts.parts.store).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::HostEnrolled).count(), 1, "{kinds:?}");
}

#[tokio::test]
async fn a_host_replaces_its_own_key_by_one_that_it_holds() {
    let hosts = hosts().await;
    let token = hosts.add_invited(&web1(), None, None, LIFE, None).await.unwrap();
    hosts.enrol(&enrolling(&token, 1), &nowhere()).await.unwrap();
    let [old, new, third] = [1, 2, 3].map(|seed| HostKey::from_seed(&[seed; 32]));
    let web2 = HostName::parse("web2").unwrap();
    for proof in [
        vec![],
        vec![7; 64],
        third.succeed(&web1(), &old.public()).to_vec(),
        new.succeed(&web2, &old.public()).to_vec(),
    ] {
        let refused = hosts.replace_key((&web1(), &old.public()), &new.public(), &proof, &nowhere()).await;
        assert!(matches!(refused, Err(EnrolRefusal::NoPossession)));
    }
    let proof = new.succeed(&web1(), &old.public());
    hosts.replace_key((&web1(), &old.public()), &new.public(), &proof, &nowhere()).await.unwrap();
    assert!(!proves(&hosts, &Credential::Key(old.clone())) && proves(&hosts, &Credential::Key(new)));
    let proof = third.succeed(&web1(), &old.public());
    let late = hosts.replace_key((&web1(), &old.public()), &third.public(), &proof, &nowhere()).await;
    assert!(matches!(late, Err(EnrolRefusal::NoKey)), "the old key decides nothing any more");
}

#[tokio::test]
async fn a_change_made_by_another_process_is_seen() {
    let hosts = hosts().await;
    let other = Hosts::load(hosts.parts.clone(), hosts.master.clone()).await.unwrap();
    other.add(&web1(), None, Some("edge".into()), None).await.unwrap();
    assert!(hosts.find(&web1()).is_none());
    hosts.refresh().await.unwrap();
    assert_eq!(hosts.find(&web1()).unwrap().group.as_deref(), Some("edge"));
}
