//! The store suite over every store of this crate.

use identree_core::store::{MemoryStore, PostgresOptions, PostgresStore, SqliteStore};
use identree_core::store_suite;
use identree_evidence::peer::Cluster;

async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (SqliteStore::open_in(directory.path()).await.expect("a new file"), directory)
}

async fn postgres() -> Option<(PostgresStore, ())> {
    let address = Cluster::shared()?.schema();
    let store = PostgresStore::connect(&address, PostgresOptions::default()).await;
    Some((store.expect("a new schema"), ()))
}

store_suite!(memory, async { (MemoryStore::new(), ()) });
store_suite!(sqlite_file, sqlite());
store_suite!(postgres_schema, postgres());
