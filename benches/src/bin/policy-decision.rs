//! Budget: one decision with 1,000 rules takes at most 500 ns, and at most 4 times what it takes with 10.
//!
//! `cargo run --release -p identree-benches --features engine --bin policy-decision`. The question matches no rule but the last resort, which
//! is the worst case of a loop. The yardstick is such a loop, over as many patterns of the form `prefix*`, without compiling anything else.

use std::hint::black_box;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use identree_benches::Result;
use identree_benches::figures::{Report, now};
use identree_core::directory::Snapshot;
use identree_core::id::{ChallengeKind, HostName, Target, UserName};
use identree_core::policy::{Outcome, Policy as _, PolicyInput, RuleSet};
use identree_core::time::Timestamp;

const DECISIONS: u32 = 200_000;

fn main() -> Result<ExitCode> {
    let mut report = Report::begin("policy-decision: no rule matches, the last resort decides");
    report.say(format!(
        "  runs        {DECISIONS} decisions per size, best of 5; literals, prefixes, suffixes and users mixed"
    ));
    let kind = ChallengeKind::parse("sudo")?;
    let requester = UserName::parse("ann")?;
    let target = Target::Host(HostName::parse("workstation-17.office.example")?);
    let directory = Snapshot::default();
    let input = PolicyInput {
        kind: &kind,
        requester: &requester,
        target: &target,
        target_groups: &[],
        command: Some("sudo whoami"),
        command_is_exact: false,
        run_as: None,
        now: Timestamp::from_secs(1_764_028_800),
        directory: &directory,
    };
    let mut by_size = Vec::new();
    for size in [10, 100, 1000] {
        let rules = RuleSet::parse_json(&rules(size))?;
        let prefixes: Vec<String> = (0..size).map(|n| format!("web-{n}-")).collect();
        let ours = best(|| matches!(decide(&rules, &input), Some(Outcome::Ask(_))))?;
        let plain = best(|| !prefixes.iter().any(|prefix| black_box(target.name()).starts_with(&**prefix)))?;
        report.say(format!("  {size:5} rules  {ours:.0} ns; plain loop over prefixes {plain:.0} ns"));
        by_size.push(ours);
    }
    if let [ten, _, thousand] = by_size[..] {
        report.judge("1,000 rules", thousand, 500.0, "ns");
        report.judge("growth from 10 to 1,000 rules", thousand / ten, 4.0, "x");
    }
    Ok(report.end())
}

/// The built-in policy never waits, so one poll gives the outcome.
fn decide(rules: &RuleSet, input: &PolicyInput<'_>) -> Option<Outcome> {
    match rules.evaluate(black_box(input)).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.ok(),
        Poll::Pending => None,
    }
}

/// Nanoseconds per call.
fn best(decide: impl Fn() -> bool) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = now();
        for _ in 0..DECISIONS {
            if !decide() {
                return Err("the decision is not the expected one".into());
            }
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS));
    }
    Ok(best)
}

/// None of them matches the question.
fn rules(size: usize) -> String {
    let rule = |n: usize| {
        let matching = match n % 4 {
            0 => format!(r#""match_hosts": ["web-{n}-*"]"#),
            1 => format!(r#""match_hosts": ["db-{n}.example", "db-{n}-standby.example"]"#),
            2 => format!(r#""match_hosts": ["*.site-{n}.example"], "match_users": ["ann"]"#),
            _ => format!(r#""match_users": ["robot-{n}-*"]"#),
        };
        format!(r#"{{"name": "r{n}", {matching}, "min_approvals": 2}}"#)
    };
    let all: Vec<_> = (0..size).map(rule).chain([r#"{"name": "default"}"#.to_owned()]).collect();
    format!(r#"{{"policies": [{}]}}"#, all.join(","))
}
