//! A question is told, updated and settled on a channel of one's own: `cargo run -p custom-notifier`.

mod spool;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;
use std::path::Path;

use identree_core::actor::{Actor, Strength};
use identree_core::challenge::FreeChallenge;
use identree_core::directory::FixedDirectory;
use identree_core::id::{ChallengeId, ChallengeKind, ChannelName, GroupName, Target, TargetName, UserName};
use identree_core::policy::RuleSet;
use identree_core::store::MemoryStore;
use identree_core::{Ask, Engine, Vote};

use self::spool::Spool;

/// Production wants two people.
const POLICIES: &str = r#"
[[policies]]
name = "production"
match_kinds = ["deploy"]
min_approvals = 2
requester_may_approve = false
number_match = false
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("identree-notices-{}.jsonl", std::process::id()));
    let told = story(&file, &mut std::io::stdout().lock()).await;
    std::fs::remove_file(&file)?;
    told
}

/// Ann asks, Ada and Grace approve; after each step the newest line of the file is shown.
async fn story(file: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let [ann, ada, grace] = [UserName::parse("ann")?, UserName::parse("ada")?, UserName::parse("grace")?];
    let leads = GroupName::parse("leads")?;
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .policy(RuleSet::parse(POLICIES)?)
        .directory(FixedDirectory::new([ada.clone(), grace.clone()].map(|name| (name, vec![leads.clone()]))))
        .admin_groups(vec![leads])
        .notifier(Spool::new(ChannelName::parse("spool")?, file))
        .page_url(|id| format!("https://approve.example.org/questions/{id}"))
        .build()
        .await?;

    let target = Target::Named(TargetName::parse("shop/production")?);
    let question = FreeChallenge::new(ChallengeKind::parse("deploy")?, ann, target, "deploy shop 4.2");
    let opened = engine.open(Ask::new(&question)).await?;
    writeln!(out, "told:    {}", line(file, 1).await?)?;

    let id = opened.record.question().id;
    approve(&engine, id, ada).await?;
    writeln!(out, "updated: {}", line(file, 2).await?)?;

    approve(&engine, id, grace).await?;
    writeln!(out, "settled: {}", line(file, 3).await?)?;

    engine.shutdown().await;
    Ok(())
}

/// In a real program this happens elsewhere, and only code that has checked who it is may write `vouched`.
async fn approve(engine: &Engine, id: ChallengeId, by: UserName) -> Result<(), Box<dyn Error>> {
    let actor = Actor::vouched("example", by, engine.clock().now(), Strength::SignedIn);
    engine.vote(id, &actor, Vote::Approve { reason: None, number: None }).await?;
    Ok(())
}

/// The `n`th line of the file, as soon as it is there: notices are delivered beside the question, never before its answer.
async fn line(file: &Path, n: usize) -> Result<String, Box<dyn Error>> {
    loop {
        let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
        if let Some(line) = text.split_inclusive('\n').nth(n - 1).and_then(|line| line.strip_suffix('\n')) {
            return Ok(line.to_owned());
        }
        tokio::task::yield_now().await;
    }
}
