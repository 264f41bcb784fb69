//! Finds the first matching rule without trying all of them.
//!
//! Every rule stands under one of its fields, the hosts or else the users, by what each pattern begins with (or ends with,
//! when it begins with a wildcard). A question looks up the beginnings and endings of its two names, so a thousand rules cost
//! about what ten do; the few rules with neither are tried one after the other.

use std::collections::HashMap;

use super::PolicyInput;
use super::matcher::Glob;
use super::rule::{Rule, folded};

/// Where to look for each rule, by its place in the list.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    hosts: FieldIndex,
    users: FieldIndex,
    others: Vec<usize>,
}

/// Rules by a text that a matching name is, begins with, or ends with.
#[derive(Debug, Clone, Default)]
struct FieldIndex {
    whole: HashMap<Box<str>, Vec<usize>>,
    starts: Affixes,
    ends: Affixes,
}

/// Rules by an affix, and the lengths (in bytes, ascending) that affixes have.
#[derive(Debug, Clone, Default)]
struct Affixes {
    rules: HashMap<Box<str>, Vec<usize>>,
    lengths: Vec<usize>,
}

impl Index {
    /// Over rules in the order in which they count.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            match (&rule.hosts, &rule.users) {
                (Some(globs), _) if globs.iter().all(has_affix) => index.hosts.insert(globs, at),
                (_, Some(globs)) if globs.iter().all(has_affix) => index.users.insert(globs, at),
                _ => index.others.push(at),
            }
        }
        index
    }

    /// The first rule that matches.
    pub(super) fn first<'r>(&self, rules: &'r [Rule], input: &PolicyInput<'_>) -> Option<&'r Rule> {
        let target = folded(input);
        let mut best = rules.len();
        let mut consider = |places: &[usize]| {
            // Ascending, so the first match of a list is its best.
            let better = places.iter().take_while(|&&at| at < best);
            if let Some(&at) =
                better.into_iter().find(|&&at| rules.get(at).is_some_and(|rule| rule.matches(input, &target)))
            {
                best = at;
            }
        };
        self.hosts.look_up(&target, &mut consider);
        self.users.look_up(input.requester.as_str(), &mut consider);
        consider(&self.others);
        rules.get(best)
    }
}

fn has_affix(glob: &Glob) -> bool {
    !glob.prefix().is_empty() || !glob.suffix().is_empty()
}

impl FieldIndex {
    fn insert(&mut self, globs: &[Glob], at: usize) {
        for glob in globs {
            if let Some(text) = glob.literal() {
                push(&mut self.whole, text, at);
            } else if glob.prefix().is_empty() {
                self.ends.insert(glob.suffix(), at);
            } else {
                self.starts.insert(glob.prefix(), at);
            }
        }
    }

    fn look_up(&self, name: &str, consider: &mut impl FnMut(&[usize])) {
        if let Some(places) = self.whole.get(name) {
            consider(places);
        }
        self.starts.look_up(|length| name.get(..length), consider);
        self.ends.look_up(|length| name.len().checked_sub(length).and_then(|from| name.get(from..)), consider);
    }
}

impl Affixes {
    fn insert(&mut self, affix: &str, at: usize) {
        push(&mut self.rules, affix, at);
        if let Err(place) = self.lengths.binary_search(&affix.len()) {
            self.lengths.insert(place, affix.len());
        }
    }

    fn look_up<'n>(&self, part: impl Fn(usize) -> Option<&'n str>, consider: &mut impl FnMut(&[usize])) {
        for &length in &self.lengths {
            if let Some(places) = part(length).and_then(|affix| self.rules.get(affix)) {
                consider(places);
            }
        }
    }
}

fn push(map: &mut HashMap<Box<str>, Vec<usize>>, text: &str, at: usize) {
    let places = map.entry(text.into()).or_default();
    // Two patterns of one rule may share their affix.
    if places.last() != Some(&at) {
        places.push(at);
    }
}
