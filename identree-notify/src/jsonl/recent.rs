//! Which events stand at the end of what was written: those that come again are not written twice.

use std::collections::{HashMap, VecDeque};

use identree_core::id::EventId;

/// How many are remembered: many times what is offered at once.
pub(super) const REMEMBERED: usize = 16_384;

/// The last events written, by their place. A place alone says nothing: a log that began anew has the same places.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ids: HashMap<u64, EventId>,
    order: VecDeque<u64>,
}

impl Recent {
    pub(super) fn has(&self, seq: u64, id: EventId) -> bool {
        self.ids.get(&seq) == Some(&id)
    }

    pub(super) fn note(&mut self, seq: u64, id: EventId) {
        if self.ids.insert(seq, id).is_none() {
            self.order.push_back(seq);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_place_and_identity_until_many_came_after_it() {
        let (mut recent, id) = (Recent::default(), EventId::from_bytes);
        recent.note(7, id([1; 16]));
        assert!(recent.has(7, id([1; 16])) && !recent.has(7, id([2; 16])) && !recent.has(8, id([1; 16])));
        recent.note(7, id([2; 16]));
        assert!(recent.has(7, id([2; 16])), "the log that began anew");
        (8..8 + REMEMBERED as u64).for_each(|seq| recent.note(seq, id([3; 16])));
        assert!(!recent.has(7, id([2; 16])) && recent.has(8, id([3; 16])));
        assert_eq!(recent.ids.len(), REMEMBERED);
    }
}
