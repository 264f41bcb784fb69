//! What happens to a question is told by a ledger of one's own: `cargo run -p custom-sink`.

mod ledger;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;
use std::path::Path;

use identree_core::actor::{Actor, Strength};
use identree_core::challenge::FreeChallenge;
use identree_core::id::{ChallengeKind, Target, TargetName, UserName};
use identree_core::policy::RuleSet;
use identree_core::store::MemoryStore;
use identree_core::{Ask, Engine, Vote};

use self::ledger::Ledger;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("identree-ledger-{}.tsv", std::process::id()));
    let told = story(&file, &mut std::io::stdout().lock()).await;
    std::fs::remove_file(&file)?;
    told
}

/// Ann asks and approves; the ledger has both.
async fn story(file: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let ann = UserName::parse("ann")?;
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .policy(RuleSet::permissive())
        // The name never changes: the engine keeps under it how far the ledger is.
        .audit(Ledger::new("ledger", file))
        .build()
        .await?;

    let target = Target::Named(TargetName::parse("shop/production")?);
    let question = FreeChallenge::new(ChallengeKind::parse("deploy")?, ann.clone(), target, "deploy shop 4.2");
    let opened = engine.open(Ask::new(&question)).await?;
    let (id, number) = (opened.record.question().id, opened.record.question().code.number().to_owned());

    // In a real program this happens elsewhere, and only code that has checked who it is may write `vouched`.
    let actor = Actor::vouched("example", ann, engine.clock().now(), Strength::SignedIn);
    engine.vote(id, &actor, Vote::Approve { reason: None, number: Some(number) }).await?;

    for line in lines(file, 2).await {
        writeln!(out, "{line}")?;
    }
    engine.shutdown().await;
    Ok(())
}

/// The first lines of the file, as soon as they are there: events are committed with the question, and shipped beside it.
async fn lines(file: &Path, count: usize) -> Vec<String> {
    loop {
        let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
        let whole: Vec<_> = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).collect();
        if whole.len() >= count {
            return whole.into_iter().take(count).map(str::to_owned).collect();
        }
        tokio::task::yield_now().await;
    }
}
