//! Files that are taken over, and servers that follow.

use std::path::PathBuf;

use identree_core::id::{ChallengeKind, HostName, Target};
use identree_core::policy::{Outcome, Policy as _, PolicyInput};
use identree_core::testkit::shared::Shared;
use identree_core::time::Clock as _;
use identree_core::wire::settings::ClientSettings;

use super::*;
use crate::hosts::Hosts;

/// One server's directory, over a store that others share.
struct Replica {
    parts: Parts,
    data: tempfile::TempDir,
    clock: ManualClock,
}

impl Replica {
    fn over(store: &Arc<MemoryStore>) -> Self {
        let clock = ManualClock::default();
        let entropy = Arc::new(SeededEntropy::new(Arc::strong_count(store) as u64));
        let parts = Parts { store: Arc::<MemoryStore>::clone(store), clock: Arc::new(clock.clone()), entropy };
        Self { parts, data: tempfile::tempdir().unwrap(), clock }
    }

    fn file(&self) -> PathBuf {
        self.data.path().join("approval-policies.json")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    async fn start(&self) -> Result<Followed, FileError> {
        let own = Own {
            data_dir: self.data.path().to_owned(),
            policies: self.file(),
            policies_named: false,
            hosts: None,
            client: ClientSettings::default(),
        };
        self.begin(own).await
    }

    async fn begin(&self, own: Own) -> Result<Followed, FileError> {
        Followed::begin(self.parts.clone(), own, &self.registry().await).await
    }

    async fn registry(&self) -> Hosts {
        let master = identree_core::credential::MasterSecret::parse(&"m".repeat(32)).unwrap();
        Hosts::load(self.parts.clone(), master).await.unwrap()
    }
}

/// Looks often enough that what settled is taken over.
async fn settle(followed: &Followed) {
    for _ in 0..2 {
        followed.look_at_files().await;
    }
    followed.refresh().await;
}

fn version(followed: &Followed) -> u64 {
    followed.policies().live().now().version
}

/// Who may ask at all under the rules in force: `rules(name)` covers that name alone.
async fn covers(followed: &Followed, user: &str) -> bool {
    let (kind, target) = (ChallengeKind::parse("sudo").unwrap(), Target::Host(HostName::parse("web1").unwrap()));
    let (requester, directory) = (UserName::parse(user).unwrap(), identree_core::directory::Snapshot::default());
    let input = PolicyInput {
        kind: &kind,
        requester: &requester,
        target: &target,
        target_groups: &[],
        command: None,
        command_is_exact: false,
        run_as: None,
        now: Timestamp::from_secs(0),
        directory: &directory,
    };
    !matches!(followed.policies().evaluate(&input).await.unwrap(), Outcome::Refuse { .. })
}

#[tokio::test]
async fn an_edited_file_is_a_new_version_and_what_is_broken_or_gone_opens_nothing() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    replica.write("{\"policies\": [{}]}");
    let refused = replica.start().await.unwrap_err().to_string();
    assert!(refused.ends_with("approval-policies.json:1:16: missing field `name`"), "{refused}");

    replica.write(&rules("ann"));
    let followed = replica.start().await.unwrap();
    assert_eq!((version(&followed), covers(&followed, "ann").await, covers(&followed, "bob").await), (1, true, false));
    assert_eq!(followed.policies().revision().0.as_ref(), "1");

    replica.write(&rules("bob"));
    followed.look_at_files().await;
    followed.refresh().await;
    assert_eq!(version(&followed), 1, "seen once, it may be half written");
    settle(&followed).await;
    assert_eq!((version(&followed), covers(&followed, "ann").await, covers(&followed, "bob").await), (2, false, true));

    for damage in ["{\"policies\": [", ""] {
        replica.write(damage);
        settle(&followed).await;
        assert_eq!((version(&followed), followed.refused()), (2, vec![Name::Policies]));
        assert!(!covers(&followed, "eve").await);
    }
    std::fs::remove_file(replica.file()).unwrap();
    settle(&followed).await;
    assert_eq!((version(&followed), followed.refused()), (2, vec![Name::Policies]));
    assert!(!covers(&followed, "eve").await, "never permissive again");

    let after = replica.start().await.unwrap();
    assert_eq!((version(&after), after.refused()), (2, vec![]), "without a file the database rules");
    assert!(!covers(&after, "eve").await);

    replica.write(&rules("bob"));
    settle(&followed).await;
    assert_eq!((version(&followed), followed.refused()), (2, vec![]), "back as it was");
    replica.write("nonsense");
    let started = replica.start().await.unwrap();
    assert_eq!(
        (version(&started), started.refused()),
        (2, vec![Name::Policies]),
        "a damaged file stops no later start"
    );

    let events = events(&Versions::new(replica.parts.clone()), EventKind::PolicyChanged).await;
    let via: Vec<_> = events.iter().map(|event| event.via.clone().unwrap()).collect();
    assert_eq!(via, vec![format!("file {}", replica.file().display()); 2]);
    assert!(events.iter().all(|event| event.actor.is_none()));
}

#[tokio::test]
async fn a_named_file_must_be_there_at_the_first_start_and_is_missed_later() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    let own = Own {
        data_dir: replica.data.path().to_owned(),
        policies: replica.file(),
        policies_named: true,
        hosts: None,
        client: ClientSettings::default(),
    };
    let refused = replica.begin(own.clone()).await.unwrap_err().to_string();
    assert!(refused.ends_with("; create it, or unset IDENTREE_APPROVAL_POLICIES_FILE"), "{refused}");
    replica.write(&rules("ann"));
    replica.begin(own.clone()).await.unwrap();
    std::fs::remove_file(replica.file()).unwrap();
    let followed = replica.begin(own).await.unwrap();
    assert_eq!((version(&followed), followed.refused()), (1, vec![Name::Policies]));
}

#[tokio::test]
async fn without_any_file_and_version_people_approve_their_own() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    let followed = replica.start().await.unwrap();
    assert_eq!((version(&followed), covers(&followed, "eve").await, followed.refused()), (0, true, vec![]));
    assert_eq!(followed.policies().revision().0.as_ref(), "permissive");
    replica.write(&rules("ann"));
    settle(&followed).await;
    assert_eq!((version(&followed), covers(&followed, "eve").await), (1, false), "a first file ends that");
}

#[tokio::test]
async fn two_servers_with_different_files_do_not_take_turns() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (Replica::over(&store), Replica::over(&store));
    a.write(&rules("ann"));
    b.write(&rules("bob"));
    let (one, other) = (a.start().await.unwrap(), b.start().await.unwrap());
    for _ in 0..3 {
        settle(&one).await;
        settle(&other).await;
    }
    assert_eq!((version(&one), version(&other)), (2, 2), "the second to start was an edit, and that was all");
    for replica in [&a, &b, &a] {
        assert_eq!(version(&replica.start().await.unwrap()), 2, "nor does a restart bring an older file back");
    }
    // An edit on either side counts.
    a.write(&rules("sue"));
    settle(&one).await;
    settle(&other).await;
    assert_eq!((version(&one), version(&other), covers(&other, "sue").await), (3, 3, true));
}

#[tokio::test]
async fn a_roll_out_and_a_way_back_each_count_once() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (Replica::over(&store), Replica::over(&store));
    for replica in [&a, &b] {
        replica.write(&rules("ann"));
        assert_eq!(version(&replica.start().await.unwrap()), 1);
    }
    // A new file reaches one server after the other, with an import by hand in between.
    a.write(&rules("bob"));
    assert_eq!(version(&a.start().await.unwrap()), 2);
    let versions = Versions::new(a.parts.clone());
    versions.change(policies(&rules("eve"))).await.unwrap();
    b.write(&rules("bob"));
    let late = b.start().await.unwrap();
    assert_eq!(version(&late), 3, "what another server has taken over since is no edit here");
    assert!(covers(&late, "eve").await);

    // The former file comes back, to one server after the other, while they are down.
    for replica in [&a, &b] {
        replica.write(&rules("ann"));
        assert_eq!(version(&replica.start().await.unwrap()), 4);
    }
    assert_eq!(versions.in_force(Name::Policies).await.unwrap().1, rules("ann"));
    let fresh = Replica::over(&store);
    fresh.write(&rules("bob"));
    assert_eq!(version(&fresh.start().await.unwrap()), 4, "a new server brings nothing back that was replaced");
}

#[tokio::test]
async fn another_database_is_given_the_file_anew() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    replica.write(&rules("ann"));
    replica.start().await.unwrap();
    let other = Replica { data: replica.data, ..Replica::over(&Arc::new(MemoryStore::new())) };
    let followed = other.start().await.unwrap();
    assert_eq!((version(&followed), covers(&followed, "eve").await), (1, false), "lost rules never mean no rules");
}

#[tokio::test]
async fn a_change_on_one_server_is_in_force_on_the_other_with_its_next_look() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (Replica::over(&store), Replica::over(&store));
    let (one, other) = (a.start().await.unwrap(), b.start().await.unwrap());
    let (mut rules_seen, mut client_seen) = (other.policies().live().changes(), other.live_client().changes());
    let started = b.clock.now();
    let following = tokio::spawn({
        let other = other.clone();
        async move { other.follow().await }
    });
    let versions = Versions::new(a.parts.clone());
    versions.change(policies(&rules("ann"))).await.unwrap();
    let client = "[client_defaults]\ntimeout = \"90s\"\n";
    versions.change(Change::new(Name::Client, client.to_owned(), admin())).await.unwrap();
    while !(rules_seen.has_changed().unwrap() && client_seen.has_changed().unwrap()) {
        b.clock.advance(std::time::Duration::from_millis(10));
        tokio::task::yield_now().await;
    }
    assert_eq!((*rules_seen.borrow_and_update(), *client_seen.borrow_and_update()), (1, 1));
    // One second, and what passed before the task had begun to wait.
    let by = b.clock.now();
    assert!(by <= started + std::time::Duration::from_millis(1100), "from {started} to {by}");
    assert_eq!((other.client().to_string(), one.client().to_string()), ("timeout=90000".to_owned(), String::new()));
    following.abort();
}

#[tokio::test]
async fn a_servers_own_environment_stands_before_what_is_stored() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    let versions = Versions::new(replica.parts.clone());
    let text = "{\"client_defaults\": {\"timeout\": \"90s\", \"breakglass_rotation_days\": 30}}";
    versions.change(Change::new(Name::Client, text.to_owned(), admin())).await.unwrap();
    let own = ClientSettings::parse("timeout=5000");
    let data_dir = replica.data.path().to_owned();
    let own = Own { data_dir, policies: replica.file(), policies_named: false, hosts: None, client: own };
    let followed = replica.begin(own.clone()).await.unwrap();
    assert_eq!(followed.client().to_string(), "timeout=5000 rotation_days=30");
    let stored = followed.live_client().now();
    assert_eq!(super::super::client::differing(&own.client, &stored.value), ["IDENTREE_CLIENT_TIMEOUT"]);
    assert!(super::super::client::differing(&stored.value, &stored.value).is_empty());
}

#[tokio::test]
async fn a_change_that_is_told_is_in_force_before_any_clock_moves() {
    let clock = ManualClock::default();
    let shared = Shared::new(clock.clone());
    let entropy = |seed| Arc::new(SeededEntropy::new(seed));
    let over =
        |seed| Parts { store: Arc::new(shared.handle()), clock: Arc::new(clock.clone()), entropy: entropy(seed) };
    let clock_now = clock.now();
    let store = Arc::new(MemoryStore::new());
    let replica = Replica { parts: over(1), ..Replica::over(&store) };
    let followed = replica.start().await.unwrap();
    let mut seen = followed.policies().live().changes();
    let following = tokio::spawn({
        let followed = followed.clone();
        async move { followed.follow().await }
    });
    tokio::task::yield_now().await; // it listens now
    let versions = Versions::new(over(2));
    for (number, name) in [(1, "ann"), (2, "bob")] {
        versions.change(policies(&rules(name))).await.unwrap();
        seen.changed().await.unwrap();
        assert_eq!((*seen.borrow_and_update(), version(&followed)), (number, number));
    }
    assert_eq!(clock.now(), clock_now);
    following.abort();
}

#[tokio::test]
async fn a_file_of_hosts_gives_and_takes_back_what_it_gave() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    let path = replica.data.path().join("hosts.json");
    let own = Own {
        data_dir: replica.data.path().to_owned(),
        policies: replica.file(),
        policies_named: false,
        hosts: Some(path.clone()),
        client: ClientSettings::default(),
    };
    let missing = replica.begin(own.clone()).await.unwrap_err().to_string();
    assert!(
        missing.starts_with("hosts file ") && missing.ends_with("or unset IDENTREE_HOST_REGISTRY_FILE"),
        "{missing}"
    );

    let registry = replica.registry().await;
    registry.add(&HostName::parse("by-hand").unwrap(), None, None, None).await.unwrap();
    std::fs::write(&path, r#"{"web1": {"secret": "a secret of elsewhere"}, "web2": {"group": "edge"}}"#).unwrap();
    let followed = replica.begin(own.clone()).await.unwrap();
    let names = async || {
        registry.refresh().await.unwrap();
        registry.list().into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names().await, "by-hand web1 web2");
    let versions = Versions::new(replica.parts.clone());
    assert!(!versions.in_force(Name::Hosts).await.unwrap().1.contains("elsewhere"), "its secret is kept nowhere");

    // The same file again is no edit, whatever was done by hand meanwhile.
    registry.remove(&HostName::parse("web2").unwrap(), None).await.unwrap();
    replica.begin(own.clone()).await.unwrap();
    settle(&followed).await;
    assert_eq!(names().await, "by-hand web1");

    std::fs::write(&path, r#"{"web3": {}}"#).unwrap();
    settle(&followed).await;
    assert_eq!(names().await, "by-hand web3");
    std::fs::write(&path, r#"{"web3": {"users": []}}"#).unwrap();
    settle(&followed).await;
    assert_eq!((names().await.as_str(), followed.refused()), ("by-hand web3", vec![Name::Hosts]));
}

/// As a newer program would write it, whose rules can say more.
#[tokio::test]
async fn a_version_that_is_not_understood_leaves_the_last_one_and_stops_a_start() {
    let replica = Replica::over(&Arc::new(MemoryStore::new()));
    replica.write(&rules("ann"));
    let followed = replica.start().await.unwrap();
    let versions = Versions::new(replica.parts.clone());
    let newer = "{\"policies\": [{\"name\": \"a\", \"match_moon\": \"full\"}]}";
    let current = versions.current(Name::Policies).await.unwrap();
    versions.write(policies(newer), current, vec![]).await.unwrap();
    followed.refresh().await;
    assert_eq!((version(&followed), followed.refused()), (1, vec![Name::Policies]));
    assert!(covers(&followed, "ann").await && !covers(&followed, "eve").await);
    let refused = replica.start().await.unwrap_err().to_string();
    assert!(refused.starts_with("policies, version 2 in the database:1:40: unknown field `match_moon`"), "{refused}");
    assert!(refused.ends_with("or `identree config rollback policies VERSION`"), "{refused}");

    versions.roll_back(Name::Policies, 1, admin()).await.unwrap();
    followed.refresh().await;
    assert_eq!((version(&followed), followed.refused()), (3, vec![]));
    replica.start().await.unwrap();
}
