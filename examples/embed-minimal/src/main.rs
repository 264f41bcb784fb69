//! A question, a policy, people and an answer, without HTTP: `cargo run -p embed-minimal`.

mod refund;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;

use identree_core::actor::{Actor, Strength};
use identree_core::challenge::{Challenge, FreeChallenge};
use identree_core::directory::FixedDirectory;
use identree_core::id::{ChallengeKind, GroupName, Target, TargetName, UserName};
use identree_core::policy::RuleSet;
use identree_core::store::MemoryStore;
use identree_core::{Ask, Engine, EngineError, Verdict, Vote};

use self::refund::Refund;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    story(&mut std::io::stdout().lock()).await
}

/// Ann asks three things; Ada and Grace, who are leads, decide.
async fn story(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let [ann, ada, grace] = [UserName::parse("ann")?, UserName::parse("ada")?, UserName::parse("grace")?];
    let engine = engine(&[&ada, &grace]).await?;

    // A free-form question needs no type. A rule lets staging pass.
    let deploy = |to: &str| -> Result<FreeChallenge, Box<dyn Error>> {
        let target = Target::Named(TargetName::parse(to)?);
        Ok(FreeChallenge::new(ChallengeKind::parse("deploy")?, ann.clone(), target, "deploy shop 4.2"))
    };
    let verdict = ask(&engine, &deploy("shop/staging")?, &[]).await?;
    writeln!(out, "staging: {}", told(&verdict))?;

    // Production wants a lead; Ann's own yes does not count.
    let hotfix = deploy("shop/production")?.with_reason("hotfix 4711");
    let verdict = ask(&engine, &hotfix, &[(&ann, yes()), (&ada, yes())]).await?;
    writeln!(out, "production: {}", told(&verdict))?;

    // A question type of one's own, and two people who disagree.
    let refund = Refund::new(ann, "order:4711", 129_900)?;
    let no = Vote::Deny { reason: Some("the parcel has arrived".into()) };
    let verdict = ask(&engine, &refund, &[(&ada, yes()), (&grace, no)]).await?;
    writeln!(out, "refund: {}", told(&verdict))?;

    engine.shutdown().await;
    Ok(())
}

/// Rules from a file, people from a list, everything kept in memory.
async fn engine(leads: &[&UserName]) -> Result<Engine, Box<dyn Error>> {
    let group = GroupName::parse("leads")?;
    let people = leads.iter().map(|name| ((*name).clone(), vec![group.clone()])).collect::<Vec<_>>();
    let engine = Engine::builder()
        .store(MemoryStore::new())
        .policy(RuleSet::parse(include_str!("../policies.toml"))?)
        .directory(FixedDirectory::new(people))
        .admin_groups(vec![group])
        .build()
        .await?;
    Ok(engine)
}

/// Opens the question, lets people vote (in a real program they do it elsewhere, later), and waits for the answer.
async fn ask(engine: &Engine, question: &dyn Challenge, votes: &[(&UserName, Vote)]) -> Result<Verdict, EngineError> {
    let opened = engine.open(Ask::new(question)).await?;
    let asked = opened.record.question();
    for (person, vote) in votes {
        // Only code that has checked who it is may write `vouched`.
        let actor = Actor::vouched("example", (*person).clone(), engine.clock().now(), Strength::SignedIn);
        engine.vote(asked.id, &actor, vote.clone()).await?;
    }
    engine.wait(asked.id, asked.expires_at).await
}

fn yes() -> Vote {
    Vote::Approve { reason: None, number: None }
}

/// An answer is never an error: no is a verdict like yes.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Granted(grant) => match grant.answer().extra("by") {
            Some(by) => format!("go, approved by {by}"),
            None => "go, a rule allows it".to_owned(),
        },
        Verdict::Refused(why) => format!("no, {why}"),
        Verdict::Pending { have, need } => format!("not yet, {have} of {need} approvals"),
    }
}
