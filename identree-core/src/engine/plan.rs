//! Planning: facts and the time in, a batch out. Nothing here reads, waits or writes.

use std::sync::Arc;

use super::{Vote, VoteRefusal};
use crate::actor::{Actor, Strength, Whence};
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::record::NotGranted;
use crate::challenge::{CastVote, ChallengeRecord, GrantedBy, Question, Settled};
use crate::directory::Snapshot;
use crate::id::{EventId, GroupName};
use crate::policy::{Outcome, Requirement};
use crate::store::{Batch, Change};
use crate::time::Timestamp;

/// The longest reason of an approver, in characters.
const MAX_REASON_CHARS: usize = 500;

/// The last wrong number that is forgiven is the one before this. Six digits guessed five times are right once in 200,000;
/// who may type a number may deny the question anyway, so the end takes nothing from anybody.
const MAX_WRONG_NUMBERS: u32 = 5;

/// A change to commit, and the state it leads to. There is no constructor without an event.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) batch: Batch,
    pub(super) next: Arc<ChallengeRecord>,
}

impl Plan {
    fn open(next: ChallengeRecord, event: AuditEvent) -> Self {
        let next = Arc::new(next);
        Self { batch: Batch::of(Change::Open(Arc::clone(&next)), event), next }
    }

    fn advance(next: ChallengeRecord, event: AuditEvent) -> Self {
        let next = Arc::new(next);
        Self { batch: Batch::of(Change::Advance(Arc::clone(&next)), event), next }
    }
}

/// What a vote or a cancel comes to.
#[derive(Debug)]
pub(super) enum Planned {
    /// The question moves on.
    Change(Plan),
    /// The question moves on, but not because of this vote.
    ChangeAndRefuse(Plan, VoteRefusal),
    /// The question stays; the refusal is recorded.
    Refuse(Batch, VoteRefusal),
}

/// A question before it is opened, and what the policy says to it.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) question: Question,
    pub(super) outcome: Outcome,
    /// Where it comes from, for the record.
    pub(super) whence: Option<&'a Whence>,
}

/// What a vote is held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) directory: &'a Snapshot,
    pub(super) admin_groups: &'a [GroupName],
    /// What the policy says now.
    pub(super) current: &'a Outcome,
    pub(super) now: Timestamp,
}

/// One person's vote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ballot<'a> {
    pub(super) by: &'a Actor,
    pub(super) vote: &'a Vote,
}

/// Opens a question: waiting, or settled at once by a rule or because the requester is shut out.
pub(super) fn open(asked: Asked<'_>, directory: &Snapshot, event: EventId) -> Plan {
    let Asked { mut question, outcome, whence } = asked;
    let now = question.created_at;
    let told = |question: &Question, kind| {
        let event = about(question, event, now, kind).with("action", question.summary.action.clone());
        let event = with_reason(event, question.summary.reason.as_deref());
        match whence {
            Some(whence) => event.from(whence),
            None => event,
        }
    };
    let outcome = if directory.is_disabled(&question.requester) { shut_out() } else { outcome };
    match outcome {
        Outcome::Ask(requirement) => {
            let event =
                told(&question, EventKind::ChallengeCreated).with("approvals", requirement.approvals.to_string());
            let event = with_rule(event, requirement.rule.as_ref());
            question.requirement = Some(requirement);
            Plan::open(ChallengeRecord::pending(question), event)
        }
        Outcome::Allow(rule) => {
            let event = told(&question, EventKind::ChallengeAllowed).with("rule", rule.as_str());
            Plan::open(ChallengeRecord::settled(question, now, Settled::Granted(GrantedBy::Rule(rule))), event)
        }
        Outcome::Refuse { rule, text } => {
            let event = told(&question, EventKind::ChallengeRefused).with("text", text.clone());
            let event = with_rule(event, rule.as_ref());
            Plan::open(ChallengeRecord::settled(question, now, Settled::Refused { rule, text }), event)
        }
    }
}

/// Whether a question waits although its time is over, or was asked at a time that the clock has gone back from.
pub(super) fn is_over(record: &ChallengeRecord, now: Timestamp) -> bool {
    let question = record.question();
    record.is_pending() && (now >= question.expires_at || question.created_at.is_from_the_future(now))
}

/// Ends a waiting question whose time is over; `None` if it is settled or has time left.
pub(super) fn expire(record: &ChallengeRecord, event: EventId, now: Timestamp) -> Option<Plan> {
    if !is_over(record, now) {
        return None;
    }
    let next = record.clone().end(now, NotGranted::Expired).ok()?;
    Some(Plan::advance(next, about(record.question(), event, now, EventKind::ChallengeExpired)))
}

/// Ends a waiting question because its target may not ask any more; `None` if it is settled.
pub(super) fn withdraw(record: &ChallengeRecord, why: &str, event: EventId, now: Timestamp) -> Option<Plan> {
    let next = record.clone().end(now, NotGranted::Refused { rule: None, text: why.to_owned() }).ok()?;
    let event = about(record.question(), event, now, EventKind::ChallengeRefused).with("text", why);
    Some(Plan::advance(next, event))
}

/// Takes a question back.
pub(super) fn cancel(record: &ChallengeRecord, by: &Actor, event: EventId, now: Timestamp) -> Planned {
    let refuse = |refusal| refuse(record, by, refusal, event, now);
    if record.question().requester != *by.name() {
        return refuse(VoteRefusal::NotFound);
    }
    match record.clone().end(now, NotGranted::Cancelled { by: by.name().clone() }) {
        Ok(next) => Planned::Change(Plan::advance(
            next,
            about(record.question(), event, now, EventKind::ChallengeCancelled).by(by),
        )),
        Err(_) => refuse(VoteRefusal::AlreadySettled),
    }
}

/// Counts a vote, or says why it does not count.
pub(super) fn vote(record: &ChallengeRecord, ballot: &Ballot<'_>, facts: &Facts<'_>, event: EventId) -> Planned {
    let (question, by, now) = (record.question(), ballot.by, facts.now);
    let refuse = |refusal| refuse(record, by, refusal, event, now);
    let own = question.requester == *by.name();
    let admin = facts.directory.is_member(by.name(), facts.admin_groups, now);
    if by.strength() < Strength::SignedIn || !(own || admin) {
        return refuse(VoteRefusal::NotFound);
    }
    if facts.directory.is_disabled(by.name()) {
        return refuse(VoteRefusal::Disabled);
    }
    if !record.is_pending() {
        return refuse(VoteRefusal::AlreadySettled);
    }
    if let Some(plan) = expire(record, event, now) {
        return Planned::ChangeAndRefuse(plan, VoteRefusal::AlreadySettled);
    }
    let (Vote::Approve { reason, .. } | Vote::Deny { reason }) = ballot.vote;
    let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > MAX_REASON_CHARS) {
        return refuse(VoteRefusal::ReasonTooLong { max: MAX_REASON_CHARS });
    }
    let Vote::Approve { number, .. } = ballot.vote else {
        return deny(record, by, reason, event, now)
            .map_or_else(|| refuse(VoteRefusal::AlreadySettled), Planned::Change);
    };
    // What the policy refuses now is refused, whoever approves.
    let current = if facts.directory.is_disabled(&question.requester) { &shut_out() } else { facts.current };
    if let Outcome::Refuse { rule, text } = current {
        let event = about(question, event, now, EventKind::ChallengeRefused).by(by).with("text", text.clone());
        let event = with_rule(event, rule.as_ref());
        let how = NotGranted::Refused { rule: rule.clone(), text: text.clone() };
        return match record.clone().end(now, how) {
            Ok(next) => Planned::Change(Plan::advance(next, event)),
            Err(_) => refuse(VoteRefusal::AlreadySettled),
        };
    }
    let requirement = required(question, current);
    let role = Role { own, admin };
    match objection(record, by, number.as_deref(), role, &requirement, now) {
        // Without a number nothing was guessed.
        Some(VoteRefusal::WrongNumber) if number.as_deref().is_some_and(|number| !number.trim().is_empty()) => {
            return mistyped(record, by, event, now);
        }
        Some(refusal) => return refuse(refusal),
        None => {}
    }
    let cast = CastVote { by: by.name().clone(), at: now, reason: reason.map(str::to_owned) };
    let Ok(next) = record.clone().approve(cast, requirement.approvals.get()) else {
        return refuse(VoteRefusal::AlreadySettled);
    };
    let kind = if next.is_pending() { EventKind::ChallengePartiallyApproved } else { EventKind::ChallengeApproved };
    let event = about(question, event, now, kind)
        .by(by)
        .with("have", next.votes().len().to_string())
        .with("need", requirement.approvals.to_string());
    let event = with_rule(with_reason(event, reason), requirement.rule.as_ref());
    Planned::Change(Plan::advance(next, event))
}

/// What was required when the question was opened and what is required now: the stricter of both.
fn required(question: &Question, current: &Outcome) -> Requirement {
    let pinned = question.requirement.clone().unwrap_or_default();
    match current {
        Outcome::Ask(now) => pinned.stricter(now),
        Outcome::Allow(_) | Outcome::Refuse { .. } => pinned,
    }
}

#[derive(Debug, Clone, Copy)]
struct Role {
    own: bool,
    admin: bool,
}

fn objection(
    record: &ChallengeRecord,
    by: &Actor,
    number: Option<&str>,
    role: Role,
    requirement: &Requirement,
    now: Timestamp,
) -> Option<VoteRefusal> {
    if requirement.require_admin && !role.admin {
        return Some(VoteRefusal::AdminOnly);
    }
    if role.own && !requirement.requester_may_approve {
        return Some(VoteRefusal::NotYourOwn);
    }
    if requirement.fresh_within_secs.is_some_and(|secs| now.since(by.at()).as_secs() >= secs) {
        return Some(VoteRefusal::StaleSignIn);
    }
    if record.votes().iter().any(|vote| vote.by == *by.name()) {
        return Some(VoteRefusal::AlreadyVoted);
    }
    let typed = number.map(str::trim).unwrap_or_default();
    if requirement.number_match && !role.own && typed != record.question().code.number() {
        return Some(VoteRefusal::WrongNumber);
    }
    None
}

fn deny(record: &ChallengeRecord, by: &Actor, reason: Option<&str>, event: EventId, now: Timestamp) -> Option<Plan> {
    let how = NotGranted::Denied { by: by.name().clone(), reason: reason.map(str::to_owned) };
    let next = record.clone().end(now, how).ok()?;
    let event = about(record.question(), event, now, EventKind::ChallengeDenied).by(by);
    Some(Plan::advance(next, with_reason(event, reason)))
}

/// Counts a wrong number; with the last one the question ends.
fn mistyped(record: &ChallengeRecord, by: &Actor, event: EventId, now: Timestamp) -> Planned {
    let (question, refusal) = (record.question(), VoteRefusal::WrongNumber);
    let count = record.wrong_numbers().saturating_add(1);
    if count >= MAX_WRONG_NUMBERS {
        let text = format!("a wrong number was typed {count} times");
        let ended = about(question, event, now, EventKind::ChallengeRefused).by(by).with("text", text.clone());
        return match record.clone().end(now, NotGranted::Refused { rule: None, text }) {
            Ok(next) => Planned::Change(Plan::advance(next, ended)),
            Err(_) => refuse(record, by, VoteRefusal::AlreadySettled, event, now),
        };
    }
    let counted = about(question, event, now, EventKind::VoteRefused)
        .by(by)
        .with("why", refusal.as_str())
        .with("count", count.to_string());
    match record.clone().mistyped() {
        Ok(next) => Planned::ChangeAndRefuse(Plan::advance(next, counted), refusal),
        Err(_) => refuse(record, by, VoteRefusal::AlreadySettled, event, now),
    }
}

fn refuse(record: &ChallengeRecord, by: &Actor, refusal: VoteRefusal, event: EventId, now: Timestamp) -> Planned {
    let event = about(record.question(), event, now, EventKind::VoteRefused).by(by).with("why", refusal.as_str());
    Planned::Refuse(Batch::event(event), refusal)
}

fn shut_out() -> Outcome {
    Outcome::Refuse { rule: None, text: "the requester's account is disabled".to_owned() }
}

fn about(question: &Question, id: EventId, at: Timestamp, kind: EventKind) -> AuditEvent {
    let mut event = AuditEvent::new(id, at, kind).with("kind", question.kind.as_str());
    event.challenge = Some(question.id);
    event.subject = Some(question.requester.clone());
    event.target = Some(question.target.clone());
    event
}

fn with_reason(event: AuditEvent, reason: Option<&str>) -> AuditEvent {
    match reason {
        Some(reason) => event.with("reason", reason),
        None => event,
    }
}

fn with_rule(event: AuditEvent, rule: Option<&crate::id::RuleName>) -> AuditEvent {
    match rule {
        Some(rule) => event.with("rule", rule.as_str()),
        None => event,
    }
}
