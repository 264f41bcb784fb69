//! How many questions may wait, and how soon after denials somebody may ask again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::live::Live;
use crate::challenge::{ChallengeRecord, Question, Settled, State};
use crate::id::{ChallengeId, Target, UserName};
use crate::time::Timestamp;

/// How many questions may wait at a time. What a rule settles at once never waits and is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Of one requester; 10 unless told.
    pub per_requester: u32,
    /// About one target (host); 100 unless told.
    pub per_target: u32,
    /// In all; 10,000 unless told.
    pub in_all: u32,
    /// What denials lead to.
    pub cool_down: CoolDown,
}

impl Default for Caps {
    fn default() -> Self {
        Self { per_requester: 10, per_target: 100, in_all: 10_000, cool_down: CoolDown::default() }
    }
}

/// Who was denied again and again on one target waits before a new question of theirs there is put to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDown {
    /// After how many denials; 3 unless told, 0 for never.
    pub after: u32,
    /// Denials older than this are forgotten; 10 min unless told.
    pub within: Duration,
    /// How long to wait, from the last denial; 60 s unless told.
    pub pause: Duration,
}

impl Default for CoolDown {
    fn default() -> Self {
        Self { after: 3, within: Duration::from_secs(600), pause: Duration::from_secs(60) }
    }
}

/// Why a question was not put to anybody. Nothing is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// So many questions of this requester wait already.
    #[error("{0} questions of this requester wait already")]
    Requester(u32),
    /// So many questions about this target wait already.
    #[error("{0} questions about this target wait already")]
    Target(u32),
    /// So many questions wait already.
    #[error("{0} questions wait already")]
    All(u32),
    /// The requester was denied too often on this target.
    #[error("denied too often; ask again in {} s", .left.as_secs().max(1))]
    CoolDown {
        /// How long to wait yet.
        left: Duration,
    },
}

/// What is counted, beside the live table and under its lock.
#[derive(Debug, Default)]
pub(super) struct Tally {
    all: u32,
    requesters: HashMap<UserName, u32>,
    targets: HashMap<Target, u32>,
    /// Counted, but not in the table yet: their commits are under way.
    reserved: HashSet<ChallengeId>,
    denials: HashMap<(UserName, Target), VecDeque<(Timestamp, ChallengeId)>>,
    told: Told,
}

impl Tally {
    /// Counts a question before it is committed, if there is room.
    pub(super) fn reserve(&mut self, question: &Question, caps: &Caps, now: Timestamp) -> Result<(), Limit> {
        match self.objection(question, caps, now) {
            Some(limit) => Err(limit),
            None => {
                self.count(question);
                self.reserved.insert(question.id);
                Ok(())
            }
        }
    }

    fn objection(&self, question: &Question, caps: &Caps, now: Timestamp) -> Option<Limit> {
        let (requester, target) = (&question.requester, &question.target);
        if let Some(left) = self.cooling(requester, target, &caps.cool_down, now) {
            return Some(Limit::CoolDown { left });
        }
        if self.requesters.get(requester).is_some_and(|count| *count >= caps.per_requester) || caps.per_requester == 0 {
            return Some(Limit::Requester(caps.per_requester));
        }
        if self.targets.get(target).is_some_and(|count| *count >= caps.per_target) || caps.per_target == 0 {
            return Some(Limit::Target(caps.per_target));
        }
        (self.all >= caps.in_all).then_some(Limit::All(caps.in_all))
    }

    fn cooling(&self, requester: &UserName, target: &Target, rule: &CoolDown, now: Timestamp) -> Option<Duration> {
        if self.denials.is_empty() {
            return None;
        }
        let denials = self.denials.get(&(requester.clone(), target.clone()))?;
        let ((first, _), (last, _)) = (denials.front()?, denials.back()?);
        let often = denials.len() >= rule.after as usize && last.since(*first) < rule.within;
        // A clock that was set back leaves denials in the future: they must not shut anybody out until then.
        let future = last.since(now) > rule.pause;
        let left = rule.pause.saturating_sub(now.since(*last));
        (often && !future && !left.is_zero()).then_some(left)
    }

    pub(super) fn is_reserved(&self, id: ChallengeId) -> bool {
        self.reserved.contains(&id)
    }

    /// A record came into the table: its place is taken for good, or given back if it does not wait.
    pub(super) fn entered(&mut self, record: &ChallengeRecord, rule: &CoolDown) {
        self.note_denial(record, rule);
        let counted = self.reserved.remove(&record.question().id);
        match (counted, record.is_pending()) {
            (false, true) => self.count(record.question()),
            (true, false) => self.uncount(record.question()),
            (true, true) | (false, false) => {}
        }
    }

    /// A waiting record was settled.
    pub(super) fn settled(&mut self, record: &ChallengeRecord, rule: &CoolDown) {
        self.uncount(record.question());
        self.note_denial(record, rule);
    }

    /// A record left the table that was not settled here.
    pub(super) fn left(&mut self, record: &ChallengeRecord) {
        if record.is_pending() {
            self.uncount(record.question());
        }
    }

    /// Remembers a denial, once; anything else is no matter.
    pub(super) fn note_denial(&mut self, record: &ChallengeRecord, rule: &CoolDown) {
        let State::Settled { at, how: Settled::Denied { .. } } = record.state() else { return };
        if rule.after == 0 {
            return;
        }
        self.denials.retain(|_, denials| denials.back().is_some_and(|(last, _)| at.since(*last) < rule.within));
        let question = record.question();
        let denials = self.denials.entry((question.requester.clone(), question.target.clone())).or_default();
        if denials.contains(&(*at, question.id)) {
            return;
        }
        denials.push_back((*at, question.id));
        denials.make_contiguous().sort_unstable();
        while denials.len() > rule.after as usize {
            denials.pop_front();
        }
    }

    /// Gives a place back whose question was never committed.
    fn release(&mut self, question: &Question) {
        if self.reserved.remove(&question.id) {
            self.uncount(question);
        }
    }

    /// How many were not asked since the log was told last, if it should be told now.
    pub(super) fn untold(&mut self, now: Timestamp) -> Option<u64> {
        self.told.due(now)
    }

    fn count(&mut self, question: &Question) {
        self.all += 1;
        *self.requesters.entry(question.requester.clone()).or_default() += 1;
        *self.targets.entry(question.target.clone()).or_default() += 1;
    }

    fn uncount(&mut self, question: &Question) {
        self.all = self.all.saturating_sub(1);
        less(&mut self.requesters, &question.requester);
        less(&mut self.targets, &question.target);
    }

    #[cfg(test)]
    fn counts(&self) -> (u32, u32, u32, usize) {
        (self.all, self.requesters.values().sum(), self.targets.values().sum(), self.reserved.len())
    }
}

/// One less; a name that nothing is counted for is forgotten.
fn less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A place among the waiting questions. Dropped before its question is known, it is given back.
pub(super) struct Place {
    pub(super) live: Arc<Live>,
    pub(super) record: Arc<ChallengeRecord>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.tally(|tally| tally.release(self.record.question()));
    }
}

/// When the log was told last of a question that was not asked: no faster than a person reads.
#[derive(Debug, Default)]
struct Told {
    last: Option<Timestamp>,
    untold: u64,
}

impl Told {
    const EVERY: Duration = Duration::from_secs(10);

    /// How many there were since the last time, if it is time to tell.
    fn due(&mut self, now: Timestamp) -> Option<u64> {
        self.untold += 1;
        if self.last.is_some_and(|last| now >= last && now.since(last) < Self::EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
