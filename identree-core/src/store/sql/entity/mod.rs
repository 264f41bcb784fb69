//! The tables as the mapper of pages sees them. They never leave `store/sql`.

#![expect(unreachable_pub, reason = "the derive makes public items")]

pub(super) mod challenges;
pub(super) mod documents;
pub(super) mod journal;
