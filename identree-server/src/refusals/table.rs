//! Which refusals are alike, how often there were, and which are to be written now. Bounded whatever comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use identree_core::audit::EventKind;
use identree_core::id::{Target, UserName};
use identree_core::time::Timestamp;

use super::Refusal;
use crate::layer::client_ip::ClientAddress;

/// Those alike within this time are one event.
const WINDOW: Duration = Duration::from_secs(60);

/// So many sorts are told apart at a time, which is the most events in one window; of others only the number is kept.
pub(super) const MOST: usize = 128;

/// Of so many hosts that one network names, each is told by name: enough for a rack with a wrong secret, and one stranger who
/// invents names takes no more than this of all places.
pub(super) const MOST_NAMED: usize = 8;

/// What makes two refusals alike. Where it is known about whom they are, it does not matter from where they come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: EventKind,
    why: &'static str,
    subject: Option<UserName>,
    target: Option<Target>,
    actor: Option<UserName>,
    network: Option<IpAddr>,
}

impl Key {
    fn of(refusal: &Refusal) -> Self {
        let Refusal { kind, why, subject, target, actor, .. } = refusal.clone();
        let known = subject.is_some() || target.is_some() || actor.is_some();
        let network = if known { None } else { network(refusal) };
        Self { kind, why, subject, target, actor, network }
    }
}

fn network(refusal: &Refusal) -> Option<IpAddr> {
    refusal.whence.address.map(|address| ClientAddress(address).network())
}

/// One sort. Written when it first comes, and then at most once in each window in which there were more.
#[derive(Debug)]
struct Entry {
    /// The last of them.
    refusal: Refusal,
    /// Where it first came from.
    network: Option<IpAddr>,
    /// Counted up over all: the last of its sort.
    number: u64,
    /// How many are not written.
    count: u64,
    since: Timestamp,
    due: Timestamp,
}

/// One kind of those beyond the most.
#[derive(Debug)]
struct Rest {
    count: u64,
    since: Timestamp,
    due: Timestamp,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// So many alike, the last of them in full.
    Alike { refusal: Refusal, count: u64, since: Timestamp },
    /// So many others.
    Rest { kind: EventKind, count: u64, since: Timestamp },
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Table {
    alike: HashMap<Key, Entry>,
    rest: HashMap<EventKind, Rest>,
    numbers: u64,
}

impl Table {
    /// Counts a refusal. True if something has to be written sooner than before.
    pub(super) fn note(&mut self, mut refusal: Refusal, now: Timestamp) -> bool {
        let mut key = Key::of(&refusal);
        self.numbers += 1;
        if !self.alike.contains_key(&key) && self.names_too_many(&refusal) {
            refusal.target = None;
            key = Key::of(&refusal);
        }
        if let Some(entry) = self.alike.get_mut(&key) {
            if entry.count == 0 {
                entry.since = now;
            }
            entry.count += 1;
            entry.number = self.numbers;
            entry.refusal = refusal;
            return false;
        }
        if self.alike.len() >= MOST {
            let kind = refusal.kind;
            let known = self.rest.contains_key(&kind);
            let rest = self.rest.entry(kind).or_insert(Rest { count: 0, since: now, due: now + WINDOW });
            if rest.count == 0 {
                rest.since = now;
            }
            rest.count += 1;
            return !known;
        }
        let network = network(&refusal);
        self.alike.insert(key, Entry { refusal, network, number: self.numbers, count: 1, since: now, due: now });
        true
    }

    fn names_too_many(&self, refusal: &Refusal) -> bool {
        let from = network(refusal);
        let others = self.alike.values().filter(|entry| {
            entry.refusal.kind == refusal.kind && entry.refusal.target.is_some() && entry.network == from
        });
        refusal.target.is_some() && from.is_some() && others.count() >= MOST_NAMED
    }

    /// When something is to be written or forgotten next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.alike.values().map(|entry| entry.due).chain(self.rest.values().map(|rest| rest.due)).min()
    }

    /// Takes what is to be written by now, or all of it, and forgets what did not come again.
    pub(super) fn told(&mut self, now: Timestamp, all: bool) -> Vec<Told> {
        let mut alike = Vec::new();
        self.alike.retain(|_, entry| {
            if entry.count > 0 && (all || entry.due <= now) {
                let (refusal, count, since) = (entry.refusal.clone(), entry.count, entry.since);
                alike.push((entry.number, Told::Alike { refusal, count, since }));
                entry.count = 0;
                entry.due = now + WINDOW;
            }
            entry.due > now
        });
        alike.sort_by_key(|(number, _)| *number);
        let mut told: Vec<_> = alike.into_iter().map(|(_, told)| told).collect();
        self.rest.retain(|kind, rest| {
            if rest.count > 0 && (all || rest.due <= now) {
                told.push(Told::Rest { kind: *kind, count: rest.count, since: rest.since });
                rest.count = 0;
                rest.due = now + WINDOW;
            }
            rest.due > now
        });
        told
    }
}
