//! The store suite over every store of this crate.

use identree_core::store::{MemoryStore, SqliteStore};
use identree_core::store_suite;

async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (SqliteStore::open_in(directory.path()).await.expect("a new file"), directory)
}

store_suite!(memory, async { (MemoryStore::new(), ()) });
store_suite!(sqlite_file, sqlite());
