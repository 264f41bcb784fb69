use std::sync::Arc;

use identree_core::notifier_suite;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A spool in a directory of its own, and what is in the file.
async fn spool() -> (Spool, impl Fn() -> String) {
    let directory = Arc::new(TempDir::new().unwrap());
    let file = directory.path().join("spool.jsonl");
    let spool = Spool::new(ChannelName::parse("spool").unwrap(), &file);
    let kept = Arc::clone(&directory);
    (spool, move || {
        assert!(kept.path().is_dir());
        std::fs::read_to_string(&file).unwrap_or_default()
    })
}
notifier_suite!(spool_suite, spool());

#[tokio::test]
async fn the_story_is_told_in_three_lines_of_one_thread() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("spool.jsonl");
    let mut out = Vec::new();
    story(&file, &mut out).await.unwrap();
    let lines: Vec<Value> =
        std::fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let all = |field: &str| lines.iter().map(|line| line[field].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(all("stage"), ["opened", "updated", "settled"]);
    assert_eq!(
        all("text"),
        [
            "ann asks on shop/production: deploy shop 4.2: waits, 0 of 2 approvals",
            "ann asks on shop/production: deploy shop 4.2: waits, 1 of 2 approvals",
            "ann asks on shop/production: deploy shop 4.2: approved by ada, grace",
        ]
    );
    assert!(lines.iter().all(|line| line["thread"] == lines[0]["question"]));
    assert_eq!(lines[0]["tell"], serde_json::json!(["ada", "grace"]), "Ann's own yes does not count");
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again() {
    use identree_core::notify::Notifier as _;
    use identree_core::retry::Retry;
    use identree_core::testkit::fakes;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("missing/spool.jsonl");
    let spool = Spool::new(ChannelName::parse("spool").unwrap(), &file);
    let notice = identree_core::notify::Notice::about(&fakes::pending(1), false);
    let error = spool.deliver(&notice, None).await.unwrap_err();
    assert_eq!(error.retry, Retry::Later);
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    assert!(spool.deliver(&notice, None).await.is_ok());
}
