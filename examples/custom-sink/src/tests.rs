use std::sync::Arc;

use async_trait::async_trait;
use identree_core::audit::EventSeq;
use identree_core::sink_suite;
use identree_core::testkit::suite::sink::{Arrived, Destination, Outage};
use tempfile::TempDir;

use super::*;

/// The directory of a ledger, as the suite sees it.
struct Shelf(Arc<TempDir>);

#[async_trait]
impl Destination for Shelf {
    async fn arrived(&self) -> Vec<Arrived> {
        let text = std::fs::read_to_string(self.0.path().join("ledger.tsv")).unwrap_or_default();
        let seq = |line: &str| EventSeq(line.split('\t').next().unwrap().parse().unwrap());
        text.lines().map(|line| Arrived { seq: seq(line), text: line.to_owned() }).collect()
    }

    async fn fail(&self, outage: Outage) -> bool {
        if outage == Outage::Refuses {
            return false; // whatever is wrong with a file may be mended without us
        }
        std::fs::rename(self.0.path(), self.0.path().with_extension("away")).unwrap();
        true
    }

    async fn mend(&self) {
        std::fs::rename(self.0.path().with_extension("away"), self.0.path()).unwrap();
    }
}

sink_suite!(ledger_suite, async {
    let directory = Arc::new(TempDir::new().unwrap());
    (Ledger::new("ledger", &directory.path().join("ledger.tsv")), Shelf(directory))
});

#[tokio::test]
async fn the_story_is_told_in_two_lines() {
    let directory = TempDir::new().unwrap();
    let mut out = Vec::new();
    story(&directory.path().join("ledger.tsv"), &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    let columns: Vec<Vec<_>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let column = |n: usize| columns.iter().map(|line| line[n]).collect::<Vec<_>>();
    assert_eq!(column(0), ["0", "1"]);
    assert_eq!(column(2), ["challenge_created", "challenge_approved"]);
    assert_eq!((column(3), column(4)), (vec!["ann"; 2], vec!["shop/production"; 2]));
    assert_eq!(column(5), ["-", "ann"]);
}

#[tokio::test]
async fn a_ledger_that_was_cut_in_the_middle_goes_on_with_a_whole_line() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("ledger.tsv");
    story(&file, &mut Vec::new()).await.unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let first = whole.lines().next().unwrap();
    // A new log from its first event on, which the ledger knows already; the second was never finished.
    story(&file, &mut Vec::new()).await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&format!("{first}\n1\t")) && text.lines().count() == 2, "{text}");
}
