//! Nothing grows without bound: the list of what is kept how long names every table and every collection there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use identree_core::store::SqliteStore;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _};

const SECTION: &str = "\n## What is kept how long\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the list names: whatever stands in backticks in its first column.
fn listed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).expect("the page is there");
    let (_, section) = text.split_once(SECTION).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|line| line.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The collections of the code, without those of tests.
fn collections(directory: &Path, found: &mut BTreeSet<String>) {
    for file in std::fs::read_dir(directory).expect("a directory") {
        let path = file.expect("a file").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["testkit", "tests"].contains(&&*name) {
            collections(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).expect("text");
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for after in text.split("Collection(\"").skip(1) {
                found.extend(after.split('"').next().map(str::to_owned));
            }
        }
    }
}

#[tokio::test]
async fn every_table_and_every_collection_says_how_long_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("any");
    drop(SqliteStore::open(&path).await.unwrap());
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let tables = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'");
    let tables: Vec<String> = tables.fetch_all(&mut connection).await.unwrap();
    assert!(tables.iter().any(|name| name == "log_bundles"), "{tables:?}");

    let mut found = BTreeSet::new();
    for part in ["identree-core/src", "identree-notify/src", "identree-server/src"] {
        collections(&root().join(part), &mut found);
    }
    assert!(found.contains("web-sessions") && found.contains("deliveries"), "{found:?}");
    found.extend(tables);
    let listed = listed();
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/operations.md does not say how long these are kept: {missing:?}");
}
