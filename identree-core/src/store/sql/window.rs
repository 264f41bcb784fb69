//! Pages of a listing, as the database counts them.

use crate::store::Page;

/// What the database calls a page: one row more than asked for tells whether there is a next one.
pub(super) struct Window {
    limit: usize,
    pub(super) after: Option<i64>,
}

impl Window {
    pub(super) fn of(page: Page) -> Self {
        let after = page.after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
        Self { limit: page.limit.clamp(1, 1000) as usize, after }
    }

    pub(super) fn rows(&self) -> u64 {
        self.limit as u64 + 1
    }

    /// Takes the extra row off again; gives the position of the last one kept if there was one.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, seq: impl Fn(&T) -> i64) -> Option<u64> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        rows.last().filter(|_| more).and_then(|last| u64::try_from(seq(last)).ok())
    }
}
