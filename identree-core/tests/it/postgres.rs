//! What PostgreSQL adds to the suite: which databases are refused, several servers over one, and what happens when it is away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use identree_core::rng::SeededEntropy;
use identree_core::store::{
    Batch, Challenges as _, Change, Collection, ConnectError, DocumentKey, Documents as _, Journal as _, LeaseName,
    Leases as _, Log as _, LogHead, Nudge, Page, PostgresOptions, PostgresStore, Put, ReplicaId, Store as _,
    StoreError,
};
use identree_core::testkit::fakes::{self, START};
use identree_evidence::peer::{Cluster, Stop};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Connection as _};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cut::Way;
use crate::writers;

const HOSTS: Collection = Collection("hosts");

async fn connect(dsn: &str) -> Result<PostgresStore, ConnectError> {
    PostgresStore::connect(dsn, PostgresOptions::default()).await
}

fn put(key: &str, expect: Option<u64>) -> Change {
    let put = Some(Put { bytes: key.as_bytes().to_vec(), expires_at: None });
    Change::Document { key: DocumentKey::new(HOSTS, key), expect, put }
}

/// Nudges until all of these were heard; each of them, and nothing else.
async fn hears(nudges: &mut Receiver<Nudge>, expected: &[Nudge]) {
    let mut left: HashSet<_> = expected.iter().cloned().collect();
    while !left.is_empty() {
        let nudge = nudges.recv().await.expect("nudges go on");
        assert!(left.remove(&nudge), "{nudge:?} was not expected; still missing {left:?}");
    }
}

/// Waits for the connection to come back, and gives what was told before that.
async fn missed(nudges: &mut Receiver<Nudge>) -> Vec<Nudge> {
    let mut before = Vec::new();
    loop {
        match nudges.recv().await.expect("nudges go on") {
            Nudge::Missed => return before,
            other => before.push(other),
        }
    }
}

#[tokio::test]
async fn a_schema_of_another_program_is_refused_and_left_as_it_is() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    for (make, found) in [
        ("CREATE TABLE recipes (name text)", "recipes"),
        (
            "CREATE TABLE seaql_migrations (version text, applied_at bigint); INSERT INTO seaql_migrations VALUES ('m1_other', 0)",
            "recipes",
        ),
    ] {
        cluster.sql(&dsn, make);
        let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = current_schema()::regnamespace";
        let before = cluster.sql(&dsn, tables);
        let error = connect(&dsn).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Foreign { found: named, .. } if named == found), "{error:?}");
        assert_eq!(cluster.sql(&dsn, tables), before);
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    drop(connect(&dsn).await.unwrap());
    cluster.sql(&dsn, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)");
    let error = connect(&dsn).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Newer { found, .. } if found == "m9999_future"), "{error:?}");
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_new_schema_is_told() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let schema = dsn.rsplit('=').next().unwrap();
    let missing = dsn.replace(schema, "nowhere");
    let error = connect(&missing).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NoSchema { path, .. } if path == "nowhere"), "{error:?}");
    cluster.admin(
        "identree",
        &format!("ALTER SCHEMA {schema} OWNER TO admin; GRANT USAGE ON SCHEMA {schema} TO identree"),
    );
    let error = connect(&dsn).await.unwrap_err();
    assert!(matches!(&error, ConnectError::MayNotCreate { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("GRANT CREATE ON SCHEMA {schema}")), "{error}");
    cluster.admin("postgres", "CREATE DATABASE latin OWNER identree ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    let error = connect(&cluster.address("latin")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Encoding { encoding, .. } if encoding == "LATIN1"), "{error:?}");
}

#[tokio::test]
async fn what_the_first_schema_holds_is_there_after_the_update() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let store = connect(&dsn).await.unwrap();
    store.commit(fakes::opening(1).and(put("web-1", None), None)).await.unwrap();
    drop(store);
    // As the first step alone leaves it.
    cluster.sql(
        &dsn,
        "DROP TABLE log_head, log_bundles, log_tiles, log_checkpoints, log_cursors, leases;
         DELETE FROM seaql_migrations WHERE version > 'm0001_start'",
    );
    let store = connect(&dsn).await.unwrap();
    assert_eq!(store.challenge(fakes::question(1).id).await.unwrap().unwrap(), fakes::pending(1));
    assert_eq!(store.document(&DocumentKey::new(HOSTS, "web-1"), START).await.unwrap().unwrap().bytes, b"web-1");
    assert_eq!(store.unsealed(Page::first(10)).await.unwrap().items.len(), 1);
    assert_eq!(store.head().await.unwrap(), LogHead::EMPTY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_together_make_one_schema_and_all_write_to_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    writers::that_open(4, || {
        let dsn = dsn.clone();
        async move { connect(&dsn).await.unwrap() }
    })
    .await;
    let store = connect(&dsn).await.unwrap();
    assert_eq!(store.unsealed(Page::first(1000)).await.unwrap().items.len(), 100);
    let ids: Vec<_> = (0..100).map(|n| fakes::question(n).id).collect();
    assert_eq!(store.challenges_by_id(&ids).await.unwrap().len(), 100);
}

#[tokio::test]
async fn commits_that_arrive_together_share_a_transaction_and_a_dropped_store_writes_them_still() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let store = connect(&dsn).await.unwrap();
    writers::at_once(store.clone(), 0..200).await;
    let transactions = store.transactions();
    assert!((1..=20).contains(&transactions), "{transactions} transactions for 200 commits");
    writers::at_once(store, 200..220).await;
    assert_eq!(connect(&dsn).await.unwrap().unsealed(Page::first(1000)).await.unwrap().items.len(), 220);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_that_decide_the_same_one_wins_whatever_the_order() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let stores = [connect(&dsn).await.unwrap(), connect(&dsn).await.unwrap()];
    for n in 0..20 {
        stores[0].commit(fakes::opening(n)).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for n in 0..20_u64 {
        for (at, store) in stores.iter().enumerate() {
            let store = store.clone();
            // Two questions and two documents, which the other server takes in the other order.
            let ids = if at == 0 { [n, (n + 1) % 20] } else { [(n + 1) % 20, n] };
            let voter = format!("voter-{at}");
            let vote = move |n| Change::Advance(fakes::approved(&fakes::pending(n), &voter, START));
            let batch = Batch::unrecorded(vec![
                vote(ids[0]),
                vote(ids[1]),
                put(&format!("d{}", ids[0]), None),
                put(&format!("d{}", ids[1]), None),
            ]);
            tasks.spawn(async move { (ids, store.commit(batch).await) });
        }
    }
    let (mut won, mut decided) = (0, HashSet::new());
    while let Some(done) = tasks.join_next().await {
        let (ids, answer) = done.unwrap();
        match answer {
            Ok(()) => {
                won += 1;
                assert!(ids.iter().all(|id| decided.insert(*id)), "{ids:?} were decided before");
            }
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{ids:?}: {error:?}"),
        }
    }
    assert!(won >= 1);
    for n in 0..20 {
        let settled = !stores[1].challenge(fakes::question(n).id).await.unwrap().unwrap().is_pending();
        let written = stores[1].document(&DocumentKey::new(HOSTS, format!("d{n}")), START).await.unwrap().is_some();
        assert_eq!((settled, written), (decided.contains(&n), decided.contains(&n)), "{n}: all or nothing");
    }
}

#[tokio::test]
async fn a_server_is_told_of_what_others_commit_and_not_of_its_own() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let (one, other) = (connect(&dsn).await.unwrap(), connect(&dsn).await.unwrap());
    let stranger = connect(&cluster.schema()).await.unwrap();
    let (mut ones, mut others) = (one.nudges().unwrap(), other.nudges().unwrap());
    let mut strangers = stranger.nudges().unwrap();
    let names: Vec<_> = (0..300).map(|n| format!("host-{n}.example.org/ü")).collect();
    let quiet = DocumentKey::new(Collection("heartbeats"), "web-1");
    let quiet = Change::Document { key: quiet, expect: None, put: Some(Put { bytes: vec![1], expires_at: None }) };
    let batch = names.iter().fold(fakes::opening(1), |batch, name| batch.and(put(name, None), None)).and(quiet, None);
    one.commit(batch).await.unwrap();
    let document = |name: &String| Nudge::Document { collection: "hosts".into(), key: name.as_str().into() };
    let question = |n| Nudge::Question(fakes::question(n).id);
    let expected: Vec<_> = names.iter().map(document).chain([question(1)]).collect();
    hears(&mut others, &expected).await;
    // What it is told of next is another's: of its own it was told nothing, and nobody of a conflict.
    assert!(matches!(other.commit(fakes::opening(1)).await, Err(StoreError::Conflict)));
    other.commit(fakes::opening(2)).await.unwrap();
    hears(&mut ones, &[question(2)]).await;
    assert!(strangers.try_recv().is_err(), "another schema is another world");
}

#[tokio::test]
async fn a_lost_connection_is_told_as_missed() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let (one, other) =
        (connect(&dsn).await.unwrap(), connect(&format!("{dsn}&application_name=listener-to-be-lost")).await.unwrap());
    let mut nudges = other.nudges().unwrap();
    let lost =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'listener-to-be-lost'";
    assert_ne!(cluster.admin("postgres", lost), "0");
    missed(&mut nudges).await;
    one.commit(fakes::opening(1)).await.unwrap();
    hears(&mut nudges, &[Nudge::Question(fakes::question(1).id)]).await;
}

#[tokio::test]
async fn what_cannot_be_taken_harms_nobody_else() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let store = connect(&dsn).await.unwrap();
    let poison = Batch::unrecorded(vec![put("a\0b", None)]);
    let (fine, refused) = tokio::join!(store.commit(fakes::opening(1)), store.commit(poison));
    assert!(fine.is_ok() && matches!(refused, Err(StoreError::Unavailable(_))), "{fine:?} {refused:?}");
    cluster.sql(&dsn, "UPDATE challenges SET record = '{}'");
    let answer = store.challenge(fakes::question(1).id).await;
    assert!(matches!(answer, Err(StoreError::Corrupt { table: "challenges", .. })), "{answer:?}");
}

#[tokio::test]
async fn a_row_that_somebody_holds_holds_up_only_who_wants_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let store = connect(&dsn).await.unwrap();
    store.commit(fakes::opening(0)).await.unwrap();
    // As a server that was cut off in the middle of a transaction.
    let mut holder = PgConnection::connect(&dsn).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SELECT FROM challenges FOR UPDATE").execute(&mut *held).await.unwrap();
    let vote = Batch::unrecorded(vec![Change::Advance(fakes::approved(&fakes::pending(0), "ben", START))]);
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let (store, vote) = (store.clone(), vote.clone());
        tasks.spawn(async move { (n, store.commit(if n == 20 { vote } else { fakes::opening(n + 1) }).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (n, answer) = done.unwrap();
        let right = if n == 20 { matches!(answer, Err(StoreError::Unavailable(_))) } else { answer.is_ok() };
        assert!(right, "{n}: {answer:?}");
    }
    held.rollback().await.unwrap();
    store.commit(vote).await.unwrap();
    assert_eq!(store.unsealed(Page::first(100)).await.unwrap().items.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_restarts_of_the_database_nothing_acknowledged_is_lost_and_nothing_hangs() {
    let Some(cluster) = Cluster::start(&["fsync=off"]) else { return };
    let dsn = cluster.schema();
    let store = connect(&dsn).await.unwrap();
    let mut nudges = store.nudges().unwrap();
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, next, stopped) = (store.clone(), Arc::clone(&next), stopped.clone());
        tasks.spawn(async move {
            let (mut acknowledged, mut refused) = (Vec::new(), 0_u32);
            while !*stopped.borrow() {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                match store.commit(fakes::opening(n)).await {
                    Ok(()) => acknowledged.push(n),
                    Err(StoreError::Unavailable(_)) => refused += 1,
                    Err(other) => panic!("{n}: {other:?}"),
                }
            }
            (acknowledged, refused)
        });
    }
    for how in [Stop::Immediate, Stop::Fast, Stop::Immediate] {
        tokio::task::block_in_place(|| {
            cluster.down(how);
            cluster.up();
        });
        while store.probe().await.is_err() {}
        missed(&mut nudges).await;
    }
    stop.send_replace(true);
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (done, not_done) = done.unwrap();
        acknowledged.extend(done);
        refused += not_done;
    }
    assert!(acknowledged.len() > 30 && refused > 0, "{} and {refused}", acknowledged.len());
    let mut journal = HashSet::new();
    let mut page = Page::first(1000);
    loop {
        let paged = store.unsealed(page).await.unwrap();
        for unsealed in paged.items {
            let n: u64 = unsealed.event.details["n"].parse().unwrap();
            assert!(journal.insert(n), "{n} twice");
        }
        let Some(next) = paged.next else { break };
        page.after = Some(next);
    }
    for n in &acknowledged {
        assert!(journal.contains(n), "{n} was acknowledged; its event is lost");
        assert!(store.challenge(fakes::question(*n).id).await.unwrap().is_some(), "{n} was acknowledged and is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_is_unavailable_soon_and_comes_back_by_itself() {
    let Some(cluster) = Cluster::shared() else { return };
    let dsn = cluster.schema();
    let way = Way::to(cluster.port()).await;
    let through = dsn.replace(&format!(":{}/", cluster.port()), &format!(":{}/", way.port));
    let (store, other) = (connect(&through).await.unwrap(), connect(&dsn).await.unwrap());
    store.commit(fakes::opening(1)).await.unwrap();
    let mut nudges = store.nudges().unwrap();
    let soon = Duration::from_secs(9);
    let (lease, holder) = (LeaseName::SEAL, ReplicaId::random(&SeededEntropy::new(1)));

    way.cut();
    let unavailable = |what: &'static str, answer: Result<bool, StoreError>| {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{what}: {answer:?}");
    };
    // More than there are connections, so that some of them wait for one.
    let reads = (0..40).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { timeout(soon, store.challenge(fakes::question(1).id)).await })
    });
    let reads: Vec<_> = reads.collect();
    let (commit, probe, held, page, clock) = tokio::join!(
        timeout(soon, store.commit(fakes::opening(2))),
        timeout(soon, store.probe()),
        timeout(soon, store.hold(&lease, &holder, soon)),
        timeout(soon, store.documents(HOSTS, START, Page::first(10))),
        timeout(soon, store.clock()),
    );
    unavailable("commit", commit.expect("it does not hang").map(|()| true));
    unavailable("probe", probe.expect("it does not hang").map(|()| true));
    unavailable("lease", held.expect("it does not hang").map(|_| true));
    unavailable("page", page.expect("it does not hang").map(|_| true));
    unavailable("clock", clock.expect("it does not hang").map(|_| true));
    for read in reads {
        unavailable("read", read.await.unwrap().expect("it does not hang").map(|_| true));
    }
    let connecting = timeout(soon, connect(&through)).await.expect("connecting does not hang");
    assert!(matches!(connecting, Err(ConnectError::Unavailable { .. })), "{connecting:?}");
    other.commit(fakes::opening(3)).await.expect("others are not held up");

    way.mend();
    let back = async {
        while store.probe().await.is_err() || store.challenge(fakes::question(3).id).await.is_err() {}
        missed(&mut nudges).await;
    };
    timeout(soon, back).await.expect("it comes back by itself");
    other.commit(fakes::opening(4)).await.unwrap();
    let told = Nudge::Question(fakes::question(4).id);
    while nudges.recv().await.unwrap() != told {}
    // What was not acknowledged may have been written, as a whole.
    let (there, events) =
        (store.challenge(fakes::question(2).id).await.unwrap().is_some(), store.unsealed(Page::first(10)).await);
    assert_eq!(events.unwrap().items.len(), if there { 4 } else { 3 });
}

#[tokio::test]
async fn a_copy_of_pg_dump_goes_on_where_the_database_stood() {
    let Some(cluster) = Cluster::shared() else { return };
    cluster.admin("postgres", "CREATE DATABASE dumped OWNER identree");
    cluster.admin("postgres", "CREATE DATABASE restored OWNER identree");
    let [from, to] = ["dumped", "restored"].map(|database| cluster.address(database));
    let store = connect(&from).await.unwrap();
    store.commit(fakes::opening(1)).await.unwrap();
    store.commit(fakes::opening(2).and(put("web-1", None), None)).await.unwrap();
    let unsealed = store.unsealed(Page::first(10)).await.unwrap().items;
    // As docs/operations.md says.
    for (program, arguments) in [
        ("pg_dump", vec!["--format=custom", "--file=identree.dump", &from]),
        ("pg_restore", vec!["--exit-on-error", "--single-transaction", "--no-owner", "--dbname", &to, "identree.dump"]),
    ] {
        let done = cluster.program(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let copy = connect(&to).await.unwrap();
    assert_eq!(copy.unsealed(Page::first(10)).await.unwrap().items, unsealed);
    assert_eq!(copy.challenge(fakes::question(2).id).await.unwrap().unwrap(), fakes::pending(2));
    copy.commit(fakes::opening(3).and(put("web-2", None), None)).await.unwrap();
    copy.commit(Batch::unrecorded(vec![put("web-1", Some(1))])).await.unwrap();
    let later = copy.unsealed(Page::first(10)).await.unwrap().items;
    assert!(later.len() == 3 && later[2].place > later[1].place, "{later:?}");
}
