//! Conversations, each from its first event to its verdict.

use ed25519_dalek::{Signer as _, SigningKey};
use identree_core::challenge::SudoFacts;
use identree_core::challenge::{CommandSource, RunAs};
use identree_core::grant::{Answer, Decision};
use identree_core::id::{ServiceName, UserName};
use identree_core::time::Timestamp;
use identree_core::wire::v1::Status;
use proptest::prelude::*;

use super::*;
use crate::verdict::Interruption;

const NONCE: Nonce = Nonce::from_bytes([7; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn config() -> Config {
    let keys = identree_core::grant::PublicKey::from_bytes(key(1).verifying_key().to_bytes());
    let text = format!(
        "IDENTREE_SERVER_URL=https://id.example\nIDENTREE_HOSTNAME=web1\nIDENTREE_SHARED_SECRET={}\nIDENTREE_DECISION_KEYS={keys}\n",
        "00".repeat(32)
    );
    Config::parse(&text, std::path::Path::new("client.conf")).unwrap()
}

fn facts() -> SudoFacts {
    SudoFacts {
        service: ServiceName::parse("sudo").unwrap(),
        requester: UserName::parse("ann").unwrap(),
        run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: None,
        tty: None,
        reason: None,
        run: None,
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(1_000_000 + millis)
}

fn flow() -> Flow {
    Flow::new(&config(), &facts(), NONCE, at(0)).unwrap()
}

fn signed(flow: &Flow, decision: Decision, seed: u8) -> SignedAnswer {
    let question = &flow.asked.question;
    let answer = Answer {
        decision,
        challenge: flow.asked.id,
        target: question.target().clone(),
        nonce: NONCE,
        kind: question.kind(),
        requester: question.requester().clone(),
        run_as_user: question.run_as().map(|r| r.user.clone()),
        run_as_group: None,
        payload_sha256: question.payload().sha256(),
        issued: Timestamp::from_secs(1),
        expires: Timestamp::from_secs(31),
        extras: vec![],
    };
    let key = key(seed);
    let id = identree_core::grant::PublicKey::from_bytes(key.verifying_key().to_bytes()).id();
    let bytes = answer.encode(id);
    let signature = key.sign(&bytes).to_bytes().to_vec();
    SignedAnswer { bytes, signature }
}

fn reply(flow: &Flow, status: Status, answer: Option<SignedAnswer>) -> Input {
    Input::Reply(Reply {
        v: 1,
        challenge_id: flow.asked.id,
        status,
        expires_in: 120,
        user_code: None,
        verification_url: Some("https://id.example/approve/x".into()),
        current_approvals: 0,
        required_approvals: 1,
        answer,
        statements: vec![],
    })
}

fn pending(flow: &Flow) -> Input {
    reply(flow, Status::Pending, None)
}

fn lost() -> Input {
    Input::Failed(TransportError::Unreachable("refused".into()))
}

/// A flow whose question is open, at time 0.
fn opened() -> Flow {
    let mut flow = flow();
    flow.step(at(0), Input::Start);
    let open = pending(&flow);
    let output = flow.step(at(0), open);
    assert_eq!(output.show.unwrap().url.unwrap(), "https://id.example/approve/x");
    assert_eq!(output.next, Next::Call(Call::Wait(flow.asked.id, 25), Duration::from_secs(30)));
    flow
}

#[test]
fn a_proven_yes_opens_and_a_status_alone_does_not() {
    let mut flow = opened();
    let yes = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 1)));
    assert!(matches!(flow.step(at(10), yes).next, Next::Done(Verdict::Granted(_))));

    let mut flow = opened();
    let claimed = reply(&flow, Status::Approved, None);
    assert!(matches!(flow.step(at(10), claimed).next, Next::Pause(_)), "approved without proof is no answer");
}

#[test]
fn every_no_is_a_no_whatever_the_status_says() {
    for (decision, code) in
        [(Decision::Denied, 1), (Decision::Refused, 1), (Decision::Expired, 2), (Decision::Cancelled, 5)]
    {
        let mut flow = opened();
        let no = reply(&flow, Status::Approved, Some(signed(&flow, decision, 1)));
        let Next::Done(verdict) = flow.step(at(10), no).next else { panic!("an answer ends it") };
        assert_eq!(verdict.exit_code(), code);
    }
}

#[test]
fn an_unproven_answer_is_a_misconfiguration() {
    let mut flow = opened();
    let foreign = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 2)));
    assert!(matches!(flow.step(at(10), foreign).next, Next::Done(Verdict::Misconfigured(_))));
    let mut flow = opened();
    let Input::Reply(mut other) = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 1))) else {
        panic!("a reply")
    };
    other.challenge_id = ChallengeId::from_bytes([0; 16]);
    assert!(matches!(flow.step(at(10), Input::Reply(other)).next, Next::Done(Verdict::Misconfigured(_))));
}

#[test]
fn a_yes_that_comes_too_late_is_no_yes() {
    let mut flow = opened();
    let yes = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 1)));
    assert_eq!(flow.step(at(150_001), yes).next, Next::Done(Verdict::TimedOut));
}

fn problem(status: u16, name: &str) -> TransportError {
    let kind = format!("urn:identree:problem:{name}");
    TransportError::Problem { status, kind, title: "x".into(), detail: None, retry_after: Some(7) }
}

#[test]
fn before_it_is_open_a_failure_ends_it_at_once() {
    for (error, code) in [
        (TransportError::Unreachable("x".into()), 3),
        (problem(503, "unavailable"), 3),
        (problem(401, "unauthorized"), 4),
        (problem(429, "something-new"), 3),
        (problem(429, "too-many-for-user"), 6),
        (problem(429, "too-many-for-host"), 6),
        (problem(503, "too-many"), 6),
        (problem(429, "cool-down"), 6),
        (problem(429, "rate-limited"), 6),
        (TransportError::Foreign("x".into()), 4),
        (TransportError::Untrusted("x".into()), 4),
    ] {
        let mut flow = flow();
        flow.step(at(0), Input::Start);
        let Next::Done(verdict) = flow.step(at(1), Input::Failed(error)).next else { panic!("it ends") };
        assert_eq!(verdict.exit_code(), code);
    }
}

#[test]
fn once_open_a_limit_is_waited_out() {
    let mut flow = opened();
    for name in ["rate-limited", "too-many"] {
        let step = flow.step(at(10), Input::Failed(problem(429, name)));
        assert!(matches!(step.next, Next::Pause(_)));
        flow.step(at(20), Input::Rested);
    }
}

#[test]
fn once_open_it_survives_a_restart_of_the_server() {
    let mut flow = opened();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let Next::Pause(pause) = flow.step(at(10), lost()).next else { panic!("it rests") };
        pauses.push(pause.as_millis());
        assert!(matches!(flow.step(at(10), Input::Rested).next, Next::Call(Call::Wait(..), _)));
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
    let yes = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 1)));
    assert!(matches!(flow.step(at(20), yes).next, Next::Done(Verdict::Granted(_))));
}

#[test]
fn a_server_that_answers_early_is_not_pressed() {
    let mut flow = opened();
    let early = pending(&flow);
    assert_eq!(flow.step(at(5), early).next, Next::Pause(FIRST_PAUSE));
}

#[test]
fn who_goes_away_takes_the_question_back_once() {
    for input in [Interruption::HangUp, Interruption::CallerGone, Interruption::Signal] {
        let mut flow = opened();
        let leave = flow.step(at(10), Input::Failed(TransportError::Interrupted(input))).next;
        assert_eq!(leave, Next::Call(Call::Cancel(flow.asked.id), CANCEL_WITHIN));
        assert_eq!(flow.step(at(11), lost()).next, Next::Done(Verdict::Cancelled(input)));
    }
}

#[test]
fn even_a_yes_does_not_undo_leaving() {
    let mut flow = opened();
    flow.step(at(10), Input::Failed(TransportError::Interrupted(Interruption::HangUp)));
    let yes = reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 1)));
    assert_eq!(flow.step(at(11), yes).next, Next::Done(Verdict::Cancelled(Interruption::HangUp)));
}

#[test]
fn nobody_answers_within_the_number_of_requests_allowed() {
    // The question outlives our patience: with 120 s each, the server's own end would come first.
    let mut flow = flow();
    flow.step(at(0), Input::Start);
    let Input::Reply(mut long) = pending(&flow) else { panic!("a reply") };
    long.expires_in = 300;
    flow.step(at(0), Input::Reply(long));
    let (mut now, mut requests) = (0, 2);
    let verdict = loop {
        let Input::Reply(mut reply) = pending(&flow) else { panic!("a reply") };
        reply.expires_in = 300 - u32::try_from(now / 1000).unwrap();
        now += if now + 25_000 <= 120_000 { 25_000 } else { 20_000 };
        match flow.step(at(now), Input::Reply(reply)).next {
            Next::Call(..) => requests += 1,
            Next::Done(verdict) => break verdict,
            Next::Pause(_) => panic!("nothing failed"),
        }
    };
    assert_eq!((verdict, requests), (Verdict::TimedOut, 1 + 5 + 1));
}

proptest! {
    #[test]
    fn it_ends_by_its_deadline_and_never_with_an_unproven_yes(inputs in prop::collection::vec((0..6u8, 0..30_000u64), 1..80)) {
        let mut flow = flow();
        let mut next = flow.step(at(0), Input::Start).next;
        let mut now = 0;
        for (what, wait) in inputs {
            let (limit, rested) = match &next {
                Next::Done(verdict) => {
                    prop_assert!(!matches!(verdict, Verdict::Granted(_)));
                    break;
                }
                Next::Call(_, within) => (*within, false),
                Next::Pause(time) => (*time, true),
            };
            now += wait.min(u64::try_from(limit.as_millis()).unwrap());
            let input = if rested { Input::Rested } else {
                match what {
                    0 | 1 => pending(&flow),
                    2 => reply(&flow, Status::Approved, Some(signed(&flow, Decision::Granted, 2))),
                    3 => reply(&flow, Status::Approved, None),
                    4 => Input::Failed(TransportError::Foreign("x".into())),
                    _ => lost(),
                }
            };
            next = flow.step(at(now), input).next;
            prop_assert!(now <= 130_000, "still asking after {now} ms");
        }
    }
}
