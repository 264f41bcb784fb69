//! The last events, numbered without gaps from 1. Old ones make room for new ones; who comes back too late is told.

use std::collections::VecDeque;

/// The last `room` things.
#[derive(Debug)]
pub(super) struct Ring<T> {
    things: VecDeque<T>,
    /// The number of the newest thing; 0 before the first.
    last: u64,
    room: usize,
}

/// What stands at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At<T> {
    /// This thing.
    Here(T),
    /// Nothing yet.
    NotYet,
    /// It is gone, or never was: go on after the newest, which has this number.
    Gone(u64),
}

impl<T: Clone> Ring<T> {
    /// An empty ring for this many.
    pub(super) fn new(room: usize) -> Self {
        Self { things: VecDeque::with_capacity(room), last: 0, room }
    }

    /// Adds the newest; its number is one more than the last one's. Gives what had to make room.
    pub(super) fn push(&mut self, thing: T) -> Option<T> {
        let gone = if self.things.len() == self.room { self.things.pop_front() } else { None };
        self.things.push_back(thing);
        self.last += 1;
        gone
    }

    /// Something happened that nobody can be told: whoever has not seen it yet begins anew.
    pub(super) fn skip(&mut self) {
        self.things.clear();
        self.last += 1;
    }

    /// The number of the newest.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number of the first thing that fits, or the next one's: things that fit stand after those that do not.
    pub(super) fn first(&self, fits: impl Fn(&T) -> bool) -> u64 {
        let before = self.things.partition_point(|thing| !fits(thing));
        self.last + 1 - (self.things.len() - before) as u64
    }

    /// What has this number.
    pub(super) fn at(&self, number: u64) -> At<T> {
        if number == self.last + 1 {
            return At::NotYet;
        }
        let first = self.last + 1 - self.things.len() as u64;
        let index = number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.things.get(index)).map_or(At::Gone(self.last), |thing| At::Here(thing.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_in_order_and_says_what_is_gone() {
        let mut ring = Ring::new(3);
        assert_eq!((ring.at(1), ring.at(0), ring.at(2)), (At::NotYet, At::Gone(0), At::Gone(0)));
        for thing in 'a'..='e' {
            ring.push(thing);
        }
        assert_eq!(ring.last(), 5);
        assert_eq!([0, 2, 7, u64::MAX].map(|number| ring.at(number)), [At::Gone(5); 4]);
        assert_eq!([3, 4, 5].map(|number| ring.at(number)), ['c', 'd', 'e'].map(At::Here));
        assert_eq!(ring.at(6), At::NotYet);
    }

    #[test]
    fn finds_the_first_of_the_later_ones() {
        let mut ring = Ring::new(3);
        assert_eq!(ring.first(|_| true), 1);
        for thing in 1..=5 {
            ring.push(thing);
        }
        assert_eq!([0, 3, 4, 5, 6].map(|from| ring.first(|thing| *thing >= from)), [3, 3, 4, 5, 6]);
    }

    #[test]
    fn after_a_gap_everybody_begins_anew() {
        let mut ring = Ring::new(3);
        ring.push('a');
        ring.skip();
        assert_eq!([1, 2].map(|number| ring.at(number)), [At::Gone(2), At::Gone(2)]);
        assert_eq!(ring.at(3), At::NotYet);
        ring.push('b');
        assert_eq!(ring.at(3), At::Here('b'));
    }
}
