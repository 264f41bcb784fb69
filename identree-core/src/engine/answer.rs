//! What a settled question comes to: the verdict, and the answer that is signed.

use std::fmt;
use std::sync::Arc;

use tracing::Instrument as _;

use super::{Engine, EngineError, Refusal, Verdict};
use crate::challenge::{ChallengeRecord, Settled, State};
use crate::grant::{Answer, Decision, Grant, SignError, SignedAnswer};
use crate::time::Timestamp;

/// A text that is told, signed, with each answer: as it is at that moment.
#[derive(Clone)]
pub(super) struct Extra {
    pub(super) name: String,
    pub(super) text: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Extra").field(&self.name).finish()
    }
}

impl Engine {
    /// The signed answer of a settled question; `None` while it waits.
    ///
    /// # Errors
    /// [`EngineError::Sign`] if it cannot be signed now.
    pub async fn answer(&self, record: &ChallengeRecord) -> Result<Option<SignedAnswer>, EngineError> {
        let Some(mut answer) = self.settled(record) else {
            return Ok(None);
        };
        self.check_age(record).await?;
        if answer.decision == Decision::Granted && self.is_lapsed(answer.issued) {
            answer.decision = Decision::Expired;
            answer.extras = vec![("reason".to_owned(), Refusal::Lapsed.to_string())];
            answer.extras.extend(self.extras());
            return Ok(Some(SignedAnswer::make(&answer, &self.0.signer).await?));
        }
        Ok(Some(self.signed(&answer).await?))
    }

    /// What the record says, and what is told with every answer.
    fn settled(&self, record: &ChallengeRecord) -> Option<Answer> {
        let mut answer = record.answer(self.0.settings.grant_life)?;
        answer.extras.extend(self.extras());
        Some(answer)
    }

    fn extras(&self) -> impl Iterator<Item = (String, String)> {
        self.0.settings.extras.iter().map(|extra| (extra.name.clone(), (extra.text)()))
    }

    /// Signs what a settled record says, once: the vote, the waiting request and every later one are told the same bytes.
    async fn signed(&self, answer: &Answer) -> Result<SignedAnswer, SignError> {
        if let Some(signed) = self.0.live.answer(answer.challenge) {
            return Ok(signed);
        }
        let span = tracing::error_span!(target: "identree_trace", "sign");
        let signed = SignedAnswer::make(answer, &self.0.signer).instrument(span).await?;
        self.0.live.keep_answer(answer.challenge, &signed);
        Ok(signed)
    }

    /// Whether a grant of this time is too old to be claimed, or of a time that the clock has gone back from.
    fn is_lapsed(&self, granted_at: Timestamp) -> bool {
        let now = self.0.clock.now();
        now > granted_at + self.0.settings.grant_life || granted_at.is_from_the_future(now)
    }

    /// Whether it can be told how old a grant is; nothing else has an age.
    async fn check_age(&self, record: &ChallengeRecord) -> Result<(), EngineError> {
        match record.state() {
            State::Settled { how: Settled::Granted(_), .. } => self.check_clock().await,
            _ => Ok(()),
        }
    }

    pub(super) async fn verdict(&self, record: &ChallengeRecord) -> Result<Verdict, EngineError> {
        let State::Settled { at, how } = record.state() else {
            let have = u32::try_from(record.votes().len()).unwrap_or(u32::MAX);
            return Ok(Verdict::Pending { have, need: record.needed() });
        };
        self.check_age(record).await?;
        let refusal = match how {
            Settled::Granted(_) if self.is_lapsed(*at) => Refusal::Lapsed,
            Settled::Granted(_) => {
                let Some(answer) = self.settled(record) else {
                    return Err(EngineError::NotFound);
                };
                let signed = self.signed(&answer).await?;
                // What was signed first counts, with what was told then.
                let answer = Answer::decode(&signed.bytes).map_or(answer, |(_, signed)| signed);
                return Ok(Verdict::Granted(Grant::proven(answer, signed)));
            }
            Settled::Denied { by, reason } => Refusal::Denied { by: by.clone(), reason: reason.clone() },
            Settled::Expired => Refusal::Expired,
            Settled::Cancelled { by } => Refusal::Cancelled { by: by.clone() },
            Settled::Refused { rule, text } => Refusal::Rule { rule: rule.clone(), text: text.clone() },
        };
        Ok(Verdict::Refused(refusal))
    }
}
