//! Whether what several callers were told of one question can have happened in some order, each call at one moment between
//! its beginning and its end (Herlihy and Wing, "Linearizability", 1990; the search is Wing and Gong's).
//!
//! Calls that were answered with an error may have taken effect at any later time, or never.

use std::collections::HashSet;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opened it, or asked for it again with its nonce.
    Open,
    /// Approved it; persons are numbered from 0 to 31.
    Approve(u8),
    /// Denied it.
    Deny(u8),
    /// Took it back.
    Cancel,
    /// Looked where it stands.
    Look,
}

/// What they were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It waits, with so many approvals.
    Waits(u32),
    /// Granted.
    Granted,
    /// Denied.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// Taken back.
    Cancelled,
    /// The vote or the cancellation did not count: the question is settled, or this person has approved already.
    NotCounted,
    /// There is no such question.
    Unknown,
    /// An error, or nothing: it may have happened or not.
    Nothing,
}

/// One call, with times of one clock in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// What.
    pub call: Call,
    /// What it was told.
    pub told: Told,
    /// When it began.
    pub began: u64,
    /// When it ended; not looked at for [`Told::Nothing`].
    pub ended: u64,
}

/// What the question is.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Approvals it needs, at least 1.
    pub need: u32,
    /// From when on it may expire.
    pub expires: u64,
}

/// No order explains what was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// The calls contradict each other.
    #[error("no order of these calls explains what was told: {0:?}")]
    Contradiction(Vec<Recorded>),
    /// More than the search can hold in mind.
    #[error("{0} calls on one question are too many to check; the most is 127")]
    TooMany(usize),
}

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Absent,
    Waits { voters: u32 },
    Granted,
    Denied,
    Expired,
    Cancelled,
}

impl State {
    fn told(self) -> Told {
        match self {
            Self::Absent => Told::Unknown,
            Self::Waits { voters } => Told::Waits(voters.count_ones()),
            Self::Granted => Told::Granted,
            Self::Denied => Told::Denied,
            Self::Expired => Told::Expired,
            Self::Cancelled => Told::Cancelled,
        }
    }

    /// What a call does here, and what it is told.
    fn after(self, call: Call, rules: Rules) -> (Self, Told) {
        match (call, self) {
            (Call::Open, Self::Absent) => (Self::Waits { voters: 0 }, Told::Waits(0)),
            (Call::Open | Call::Look, state) => (state, state.told()),
            (_, Self::Absent) => (self, Told::Unknown),
            (Call::Approve(who), Self::Waits { voters }) if voters & 1 << who == 0 => {
                let voters = voters | 1 << who;
                let state = if voters.count_ones() >= rules.need { Self::Granted } else { Self::Waits { voters } };
                (state, state.told())
            }
            (Call::Deny(_), Self::Waits { .. }) => (Self::Denied, Told::Denied),
            (Call::Cancel, Self::Waits { .. }) => (Self::Cancelled, Told::Cancelled),
            (Call::Approve(_) | Call::Deny(_) | Call::Cancel, state) => (state, Told::NotCounted),
        }
    }
}

/// Looks for an order that explains everything.
///
/// # Errors
/// [`Unexplained`] with the calls, in the order in which they began.
pub fn check(rules: Rules, calls: &[Recorded]) -> Result<(), Unexplained> {
    if calls.len() > 127 {
        return Err(Unexplained::TooMany(calls.len()));
    }
    let mut calls = calls.to_vec();
    calls.sort_by_key(|one| one.began);
    let (mut seen, mut open) = (HashSet::new(), vec![(0_u128, State::Absent)]);
    while let Some((done, state)) = open.pop() {
        if !seen.insert((done, state)) {
            continue;
        }
        let left = || calls.iter().enumerate().filter(|(at, _)| done & 1 << at == 0);
        let certain = |one: &Recorded| one.told != Told::Nothing;
        // Whatever begins after another has ended comes after it.
        let Some(until) = left().filter(|(_, one)| certain(one)).map(|(_, one)| one.ended).min() else {
            return Ok(());
        };
        if matches!(state, State::Waits { .. }) && rules.expires <= until {
            open.push((done, State::Expired));
        }
        for (at, one) in left().filter(|(_, one)| one.began <= until) {
            let (next, told) = state.after(one.call, rules);
            // Of what nobody was told only that is of interest which changed something.
            if told == one.told || !certain(one) && next != state {
                open.push((done | 1 << at, next));
            }
        }
    }
    Err(Unexplained::Contradiction(calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { need: 1, expires: 1000 };

    fn at(began: u64, ended: u64, call: Call, told: Told) -> Recorded {
        Recorded { call, told, began, ended }
    }

    fn fine(calls: &[Recorded]) -> bool {
        check(RULES, calls).is_ok()
    }

    #[test]
    fn what_happens_one_after_the_other_is_explained() {
        assert!(fine(&[]));
        assert!(fine(&[
            at(0, 1, Call::Open, Told::Waits(0)),
            at(2, 3, Call::Look, Told::Waits(0)),
            at(4, 5, Call::Approve(0), Told::Granted),
            at(6, 7, Call::Deny(1), Told::NotCounted),
            at(8, 9, Call::Look, Told::Granted),
        ]));
    }

    #[test]
    fn of_two_votes_at_once_either_may_win_and_not_both() {
        let race = |first, second| {
            [at(0, 1, Call::Open, Told::Waits(0)), at(2, 9, Call::Approve(0), first), at(3, 8, Call::Deny(1), second)]
        };
        assert!(fine(&race(Told::Granted, Told::NotCounted)));
        assert!(fine(&race(Told::NotCounted, Told::Denied)));
        assert!(!fine(&race(Told::Granted, Told::Denied)));
        assert!(!fine(&race(Told::NotCounted, Told::NotCounted)));
    }

    #[test]
    fn an_answer_is_never_taken_back() {
        assert!(!fine(&[
            at(0, 1, Call::Open, Told::Waits(0)),
            at(2, 3, Call::Approve(0), Told::Granted),
            at(4, 5, Call::Look, Told::Waits(0)),
        ]));
        // While the vote is under way, a look may see either.
        assert!(fine(&[
            at(0, 1, Call::Open, Told::Waits(0)),
            at(2, 9, Call::Approve(0), Told::Granted),
            at(4, 5, Call::Look, Told::Waits(0)),
        ]));
        assert!(!fine(&[at(0, 1, Call::Open, Told::Waits(0)), at(2, 3, Call::Look, Told::Unknown)]));
    }

    #[test]
    fn what_was_answered_with_an_error_may_have_happened_once() {
        let lost = [at(0, 1, Call::Open, Told::Waits(0)), at(2, 3, Call::Approve(0), Told::Nothing)];
        let with = |told| [&lost[..], &[at(50, 51, Call::Look, told)]].concat();
        assert!(fine(&with(Told::Granted)));
        assert!(fine(&with(Told::Waits(0))));
        assert!(!fine(&with(Told::Denied)));
        let never_begun = [at(0, 1, Call::Open, Told::Nothing), at(2, 3, Call::Look, Told::Unknown)];
        assert!(fine(&never_begun));
    }

    #[test]
    fn many_calls_without_an_answer_are_no_burden() {
        let mut calls: Vec<_> = (0..60).map(|n| at(n, n, Call::Open, Told::Nothing)).collect();
        calls.extend((60..100).map(|n| at(n, n, Call::Approve(0), Told::Nothing)));
        calls.push(at(200, 201, Call::Look, Told::Denied));
        assert!(!fine(&calls));
        calls.push(at(100, 100, Call::Deny(0), Told::Nothing));
        assert!(fine(&calls));
    }

    #[test]
    fn nothing_expires_before_its_time() {
        let early = [at(0, 1, Call::Open, Told::Waits(0)), at(10, 20, Call::Look, Told::Expired)];
        assert!(!fine(&early));
        let late = [at(0, 1, Call::Open, Told::Waits(0)), at(990, 1001, Call::Look, Told::Expired)];
        assert!(fine(&late));
    }

    #[test]
    fn one_person_counts_once() {
        let rules = Rules { need: 2, expires: 1000 };
        let twice = |told| {
            [
                at(0, 1, Call::Open, Told::Waits(0)),
                at(2, 3, Call::Approve(0), Told::Waits(1)),
                at(4, 5, Call::Approve(0), told),
            ]
        };
        assert!(check(rules, &twice(Told::NotCounted)).is_ok());
        assert!(check(rules, &twice(Told::Granted)).is_err());
        let many = vec![at(0, 1, Call::Look, Told::Unknown); 128];
        assert_eq!(check(rules, &many), Err(Unexplained::TooMany(128)));
    }
}
