//! Looking for entries, from the newest back: the log has no index beside its order.

use super::{Entry, EventKind, EventSeq, SealedEvent};
use crate::id::{ChallengeId, EventId};
use crate::store::{Log, StoreError, TILE};

/// Bundles that are read at once.
const AT_ONCE: u32 = 32;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Everything about this question.
    pub question: Option<ChallengeId>,
    /// This event.
    pub event: Option<EventId>,
}

impl Wanted {
    /// A text that is the id of a question, or of an event: both look alike.
    pub fn parse(text: &str) -> Option<Self> {
        let found = Self { question: ChallengeId::parse(text).ok(), event: EventId::parse(text).ok() };
        (found.question.is_some() || found.event.is_some()).then_some(found)
    }

    fn texts(&self) -> impl Iterator<Item = String> {
        let question = self.question.map(|id| id.to_string());
        [question, self.event.map(|id| id.to_string())].into_iter().flatten()
    }
}

/// The entries about a question, or the one event, in their order. Reads back to where the question was opened, or to the beginning.
///
/// # Errors
/// [`StoreError`] if the log cannot be read.
pub async fn find<L: Log + ?Sized>(log: &L, wanted: Wanted) -> Result<Vec<SealedEvent>, StoreError> {
    let texts: Vec<_> = wanted.texts().collect();
    let (mut found, mut end) = (Vec::new(), log.head().await?.size.div_ceil(TILE));
    while end > 0 {
        let from = end.saturating_sub(u64::from(AT_ONCE));
        let read = log.bundles(from, AT_ONCE).await?;
        for bundle in read.iter().rev().filter(|bundle| bundle.number < end) {
            let corrupt = |error| StoreError::Corrupt { table: "log_bundles", source: Box::new(error) };
            let leaves = Entry::leaves(bundle.number, &bundle.entries).map_err(corrupt)?;
            let parts = Entry::personal_parts(bundle.number, &bundle.personal).map_err(corrupt)?;
            for (at, (leaf, personal)) in leaves.into_iter().zip(parts).enumerate().rev() {
                let text = String::from_utf8_lossy(leaf);
                if !texts.iter().any(|wanted| text.contains(wanted)) {
                    continue;
                }
                let entry = Entry { leaf: leaf.to_vec(), personal: personal.to_vec() };
                let sealed = entry.sealed(EventSeq(bundle.number * TILE + at as u64)).map_err(corrupt)?;
                let is_event = wanted.event == Some(sealed.event.id);
                let about = sealed.event.challenge.is_some() && sealed.event.challenge == wanted.question;
                let first = is_event || about && opens(sealed.event.kind);
                if is_event || about {
                    found.push(sealed);
                }
                if first {
                    found.reverse();
                    return Ok(found);
                }
            }
        }
        // What is below was pruned.
        end = if read.is_empty() { 0 } else { from };
    }
    found.reverse();
    Ok(found)
}

/// Whether a question's story begins with it.
const fn opens(kind: EventKind) -> bool {
    matches!(kind, EventKind::ChallengeCreated | EventKind::ChallengeAllowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::fakes;
    use crate::testkit::log::{LogOf, sample};

    #[tokio::test]
    async fn a_question_is_found_with_all_that_became_of_it_and_an_event_alone() {
        let log = LogOf::events(900).await;
        let find = async |text: &str| {
            let found = find(&*log.store, Wanted::parse(text).unwrap()).await.unwrap();
            found.iter().map(|sealed| sealed.seq.0).collect::<Vec<_>>()
        };
        assert_eq!(find(&fakes::question(100).id.to_string()).await, [300, 301]);
        assert_eq!(find(&sample(301).id.to_string()).await, [301]);
        assert_eq!(find(&"ab".repeat(16)).await, [0; 0]);
        assert_eq!(Wanted::parse("ann"), None);
    }
}
