//! The registry as a file.

use std::time::Duration;

use identree_core::credential::{HostKey, MasterSecret};
use identree_core::enrol::EnrolRequest;
use identree_core::id::{HostName, Nonce};

use super::*;
use crate::hosts::{Act, HostCredential, Hosts, HostsImport, Others};

async fn registry(parts: Parts) -> HostsImport {
    let hosts = Hosts::load(parts.clone(), MasterSecret::parse(&"m".repeat(32)).unwrap()).await.unwrap();
    HostsImport { hosts, versions: Versions::new(parts), others: Others::Stay }
}

fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap()
}

fn import(text: &str) -> Change {
    Change::new(Name::Hosts, text.to_owned(), admin())
}

fn export(import: &HostsImport) -> String {
    HostsFile::of(import.hosts.list()).to_string()
}

async fn enrolled(hosts: &Hosts, name: &str) {
    let token = hosts.add_invited(&host(name), None, None, Duration::from_secs(900), None).await.unwrap();
    let request = EnrolRequest::new(&token, &HostKey::from_seed(&[7; 32]), Nonce::from_bytes([7; 32]));
    hosts.enrol(&request, &identree_core::actor::Whence::default()).await.unwrap();
}

#[tokio::test]
async fn what_is_exported_makes_the_same_registry_elsewhere() {
    let here = registry(parts()).await;
    here.hosts.add(&host("web1"), None, Some("edge".into()), None).await.unwrap();
    here.hosts.rotate(&host("web1"), None).await.unwrap();
    let users = Some(vec![UserName::parse("ann").unwrap(), UserName::parse("bob").unwrap()]);
    here.hosts.add(&host("db1"), users, None, None).await.unwrap();
    enrolled(&here.hosts, "web2").await;
    let exported = export(&here);
    assert!(!exported.contains(here.hosts.secret(&host("web1")).unwrap().reveal().expose()), "no secret leaves");

    let there = registry(parts()).await;
    there.take(import(&exported)).await.unwrap();
    assert_eq!(export(&there), exported);
    // The hosts go on with what they have: the same master derives the same secret, and a key is a key.
    let secret = |import: &HostsImport| import.hosts.secret(&host("web1")).unwrap().reveal().expose().clone();
    assert_eq!(secret(&here), secret(&there));
    let again = there.take(import(&exported)).await.unwrap();
    assert!(matches!(&again, Changed::Already(version) if version.number == 1), "{again:?}");
    assert!(there.plan(&HostsFile::parse(Path::new("h"), &exported).unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_import_changes_who_may_ask_and_never_what_a_host_proves_itself_with() {
    let registry = registry(parts()).await;
    enrolled(&registry.hosts, "web1").await;
    registry.hosts.add(&host("web2"), None, None, None).await.unwrap();
    registry.hosts.rotate(&host("web2"), None).await.unwrap();
    let stranger = HostKey::from_seed(&[9; 32]).public();
    let text = format!(
        "{{\"web1\": {{\"users\": [\"ann\"], \"generation\": 9, \"credential\": \"key\", \"key\": \"{stranger}\"}},
           \"web2\": {{\"users\": [\"*\"], \"group\": \"edge\", \"generation\": 1, \"credential\": \"secret\"}}}}"
    );
    let before: Vec<_> =
        registry.hosts.list().into_iter().map(|(_, host)| (host.generation, host.credential)).collect();
    let plan = registry.plan(&HostsFile::parse(Path::new("h"), &text).unwrap()).await.unwrap();
    assert!(plan.iter().all(|step| step.act == Act::Change && step.notice.is_some()), "{plan:?}");
    let shown: Vec<_> = plan.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[1],
        "~ web2  users=* credential=secret generation=2  ->  users=* group=edge credential=secret generation=2"
    );
    registry.take(import(&text)).await.unwrap();
    let after: Vec<_> = registry.hosts.list().into_iter().map(|(_, host)| (host.generation, host.credential)).collect();
    assert_eq!(after, before);
    assert_eq!(registry.hosts.find(&host("web1")).unwrap().users, Some(vec![UserName::parse("ann").unwrap()]));

    let events = events(&registry.versions, EventKind::ConfigChanged).await;
    let [file, web1, web2] = &events[..] else { unreachable!("{events:?}") };
    assert_eq!((file.details["what"].as_str(), file.target.as_ref()), ("hosts", None));
    assert_eq!(web1.target, Some(identree_core::id::Target::Host(host("web1"))));
    assert_eq!(web2.details["before"], "users=* credential=secret generation=2");
    assert_eq!(web2.details["after"], "users=* group=edge credential=secret generation=2");
    assert_eq!(web2.actor, Some(UserName::parse("uid:0").unwrap()));
}

#[tokio::test]
async fn a_removed_host_comes_back_as_another() {
    let registry = registry(parts()).await;
    enrolled(&registry.hosts, "web1").await;
    let secret = registry.hosts.add(&host("web2"), None, None, None).await.unwrap();
    let backup = export(&registry);
    for name in ["web1", "web2"] {
        registry.hosts.remove(&host(name), None).await.unwrap();
    }
    registry.take(import(&backup)).await.unwrap();
    let (web1, web2) = (registry.hosts.find(&host("web1")).unwrap(), registry.hosts.find(&host("web2")).unwrap());
    assert_eq!((web1.generation, web1.credential), (2, HostCredential::Awaited), "its key stays dead: it enrols anew");
    assert_eq!((web2.generation, web2.credential), (2, HostCredential::Secret));
    assert_ne!(registry.hosts.secret(&host("web2")).unwrap().reveal().expose(), secret.reveal().expose());
}

#[tokio::test]
async fn who_is_not_named_stays_unless_told_otherwise() {
    let stays = registry(parts()).await;
    stays.hosts.add(&host("by-hand"), None, None, None).await.unwrap();
    let names = |import: &HostsImport| {
        import.hosts.list().into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    stays.take(import("{\"web1\": {}, \"web2\": {}}")).await.unwrap();
    assert_eq!(names(&stays), "by-hand web1 web2");

    // A file that is taken over by itself takes back what it gave, and no more.
    let former = HostsImport { others: Others::FormerGo, ..stays.clone() };
    former.take(import("{\"web2\": {}}")).await.unwrap();
    assert_eq!(names(&former), "by-hand web2");
    let removed = events(&stays.versions, EventKind::HostRemoved).await;
    assert_eq!(removed[0].details["before"], "users=* credential=secret generation=1");
    assert!(!removed[0].details.contains_key("after"));

    let all = HostsImport { others: Others::Go, ..stays };
    all.take(import("{}")).await.unwrap();
    assert_eq!(names(&all), "");
}

#[tokio::test]
async fn an_import_is_all_or_nothing() {
    let registry = registry(parts()).await;
    let old = Change { expect: Some(3), ..import("{\"web1\": {}}") };
    assert!(matches!(registry.take(old).await, Err(VersionError::Expected { .. })));
    let bad = registry.take(import("{\"web1\": {}, \"web 2\": {}}")).await.unwrap_err();
    assert_eq!(bad.to_string(), "hosts: host \"web 2\": host name may not contain ' ' at byte 3");
    assert!(registry.hosts.list().is_empty());
    assert!(recorded(&*registry.versions.parts.store).await.is_empty());
}

#[tokio::test]
async fn more_hosts_than_a_commit_takes_are_imported_in_parts() {
    let registry = registry(parts()).await;
    let file = |from: usize, to: usize| {
        let hosts: Vec<_> = (from..to).map(|n| format!("\"h{n}\": {{}}")).collect();
        import(&format!("{{{}}}", hosts.join(",")))
    };
    let refused = registry.take(file(0, 4001)).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "hosts: 4001 hosts would change, more than 4000 at once; import them in parts: whom a file does not name stays"
    );
    registry.take(file(0, 4000)).await.unwrap();
    registry.take(file(0, 4001)).await.unwrap();
    assert_eq!(registry.hosts.count(), 4001);
}
