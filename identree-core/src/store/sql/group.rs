//! Which batches of a group fit, one after the other, and what they write together. Pure: the database is asked once before
//! and written once after.

use std::collections::HashMap;
use std::sync::Arc;

use super::row::{ChallengeRow, RowChange};
use crate::id::ChallengeId;
use crate::store::{DocumentKey, Put};

/// A question the group touches: what stood before, what stands after the batches admitted so far.
#[derive(Debug, Default)]
struct Question {
    stored: Option<i64>,
    revision: Option<i64>,
    write: Option<Arc<ChallengeRow>>,
    /// Its place among the opened, if this group opened it.
    opened: Option<usize>,
}

/// A document the group touches.
#[derive(Debug, Default)]
struct Paper {
    stored: bool,
    revision: Option<i64>,
    write: Option<Arc<Put>>,
}

/// The keys a group touches, numbered in order of first use, with what stands there.
#[derive(Debug, Default)]
pub(super) struct Group {
    ids: HashMap<ChallengeId, usize>,
    questions: Vec<(ChallengeId, Question)>,
    keys: HashMap<DocumentKey, usize>,
    papers: Vec<(DocumentKey, Paper)>,
    opens: usize,
}

/// What a group writes in the end: at most one row per key.
#[derive(Debug, Default)]
pub(super) struct Net {
    /// Rows to remove, by `seq`.
    pub(super) forget: Vec<i64>,
    /// New rows, in the order they were opened.
    pub(super) open: Vec<Arc<ChallengeRow>>,
    /// Next states, with the `seq` of their row.
    pub(super) advance: Vec<(i64, Arc<ChallengeRow>)>,
    /// Documents with their new revision.
    pub(super) put: Vec<(DocumentKey, i64, Arc<Put>)>,
    /// Documents to remove.
    pub(super) remove: Vec<DocumentKey>,
}

impl Group {
    /// Notes what a batch touches.
    pub(super) fn touch(&mut self, changes: &[RowChange]) {
        for change in changes {
            match change {
                RowChange::Open(row) | RowChange::Advance(row) => self.touch_question(row.id),
                RowChange::Forget(id) => self.touch_question(*id),
                RowChange::Document { key, .. } => {
                    if !self.keys.contains_key(key) {
                        self.keys.insert(key.clone(), self.papers.len());
                        self.papers.push((key.clone(), Paper::default()));
                    }
                }
            }
        }
    }

    fn touch_question(&mut self, id: ChallengeId) {
        let next = self.questions.len();
        if *self.ids.entry(id).or_insert(next) == next {
            self.questions.push((id, Question::default()));
        }
    }

    /// The questions to look up.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = &ChallengeId> {
        self.questions.iter().map(|(id, _)| id)
    }

    /// The documents to look up.
    pub(super) fn keys(&self) -> impl ExactSizeIterator<Item = &DocumentKey> {
        self.papers.iter().map(|(key, _)| key)
    }

    /// The question at this place of [`Group::ids`] stands in row `seq` at `revision`.
    pub(super) fn question_stands(&mut self, at: usize, seq: i64, revision: i64) {
        if let Some((_, question)) = self.questions.get_mut(at) {
            question.stored = Some(seq);
            question.revision = Some(revision);
        }
    }

    /// The document at this place of [`Group::keys`] stands at `revision`.
    pub(super) fn document_stands(&mut self, at: usize, revision: i64) {
        if let Some((_, paper)) = self.papers.get_mut(at) {
            paper.stored = true;
            paper.revision = Some(revision);
        }
    }

    /// Takes a batch in if every change fits what stands now; else leaves everything as it is.
    pub(super) fn admit(&mut self, changes: &[RowChange]) -> bool {
        let fits = changes.iter().all(|change| self.fits(change));
        if fits {
            for change in changes {
                self.apply(change);
            }
        }
        fits
    }

    fn fits(&self, change: &RowChange) -> bool {
        let revision = |id| self.ids.get(id).and_then(|&at| self.questions[at].1.revision);
        match change {
            RowChange::Open(row) => revision(&row.id).is_none(),
            RowChange::Advance(row) => revision(&row.id).is_some_and(|stored| stored + 1 == row.revision),
            RowChange::Forget(_) => true,
            RowChange::Document { key, expect, .. } => {
                self.keys.get(key).and_then(|&at| self.papers[at].1.revision) == *expect
            }
        }
    }

    fn apply(&mut self, change: &RowChange) {
        match change {
            RowChange::Open(row) => {
                let opens = self.opens;
                self.opens += 1;
                if let Some(question) = self.question(row.id) {
                    question.opened = Some(opens);
                    question.revision = Some(row.revision);
                    question.write = Some(Arc::clone(row));
                }
            }
            RowChange::Advance(row) => {
                if let Some(question) = self.question(row.id).filter(|question| question.revision.is_some()) {
                    question.revision = Some(row.revision);
                    question.write = Some(Arc::clone(row));
                }
            }
            RowChange::Forget(id) => {
                if let Some(question) = self.question(*id) {
                    question.revision = None;
                    question.write = None;
                    question.opened = None;
                }
            }
            RowChange::Document { key, expect, put } => {
                if let Some(&at) = self.keys.get(key) {
                    let paper = &mut self.papers[at].1;
                    paper.revision = put.as_ref().map(|_| expect.unwrap_or(0) + 1);
                    paper.write.clone_from(put);
                }
            }
        }
    }

    fn question(&mut self, id: ChallengeId) -> Option<&mut Question> {
        self.ids.get(&id).map(|&at| &mut self.questions[at].1)
    }

    /// What the admitted batches write together.
    pub(super) fn net(self) -> Net {
        let mut net = Net::default();
        let mut opened = Vec::new();
        for (_, question) in self.questions {
            match (question.stored, question.opened, question.write) {
                (Some(seq), None, Some(row)) => net.advance.push((seq, row)),
                (stored, Some(at), Some(row)) => {
                    net.forget.extend(stored);
                    opened.push((at, row));
                }
                (Some(seq), _, None) if question.revision.is_none() => net.forget.push(seq),
                _ => {}
            }
        }
        opened.sort_unstable_by_key(|(at, _)| *at);
        net.open = opened.into_iter().map(|(_, row)| row).collect();
        for (key, paper) in self.papers {
            match (paper.write, paper.revision) {
                (Some(put), Some(revision)) => net.put.push((key, revision, put)),
                (None, None) if paper.stored => net.remove.push(key),
                _ => {}
            }
        }
        net
    }
}
