//! One calling process is one question: what each helper of the same process may do, as pure rules.
//!
//! A refusal stands for the life of the process. An approval may be used once per phase and within 30 s of settling;
//! after that the counter rises, and with it comes a new nonce and a new question. A question that was asked and never
//! settled (its helper was killed) is asked again under the same nonce as long as its answer could still be used.

mod nonce;
mod store;

use std::time::Duration;

use identree_core::canon::{Malformed, Reader, Writer};
use identree_core::grant::SignedAnswer;

pub use self::nonce::{BootKey, Origin};
pub use self::store::{Claims, ClaimsError, DIRECTORY};
use crate::clock::Moment;
use crate::facts::Phase;

/// How long after settling an approval may still be claimed by the other phase.
pub const CLAIM_WITHIN: Duration = Duration::from_secs(30);

/// What is remembered about one calling process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How many questions came before this one.
    pub counter: u64,
    /// When the question was asked first.
    pub asked: Moment,
    /// Why, in the words that the person typed when asked: part of the question in every phase.
    pub reason: Option<String>,
    /// How it stands.
    pub standing: Standing,
}

/// How the question of a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Asked, not settled as far as this host knows.
    Asked,
    /// A proven yes, and which phases have used it.
    Approved {
        /// When this host learned of it.
        settled: Moment,
        /// Used by the auth phase.
        auth: bool,
        /// Used by the account phase.
        account: bool,
        /// The proof, for the other phase to check against its own facts.
        answer: SignedAnswer,
    },
    /// No, with the exit code that said so.
    Refused(u8),
}

/// What a helper is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask, under this record, which is to be kept.
    Ask(Record),
    /// Check this answer; it is claimed with [`finish`].
    Claim(Record),
    /// Refuse at once, with that exit code.
    Refuse(u8),
}

/// Decides what a helper in `phase` does. `usable` is how long after asking an answer may be used at all.
pub fn begin(kept: Option<Record>, phase: Phase, usable: Duration, now: Moment) -> Step {
    let ask = |counter| Step::Ask(Record { counter, asked: now, reason: None, standing: Standing::Asked });
    let Some(record) = kept else { return ask(0) };
    let next = record.counter.saturating_add(1);
    match &record.standing {
        Standing::Refused(code) => Step::Refuse(*code),
        Standing::Asked if now.since(record.asked) < usable => Step::Ask(record),
        Standing::Approved { settled, .. } if !record.claimed(phase) && now.since(*settled) <= CLAIM_WITHIN => {
            Step::Claim(record)
        }
        Standing::Asked | Standing::Approved { .. } => ask(next),
    }
}

/// How a question of this process ended, as far as it is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A proven yes.
    Approved(SignedAnswer),
    /// A no that stands, with its exit code.
    Refused(u8),
}

/// The record to keep when the helper that worked under `mine` has reached its end, and whether that end counts. An
/// approval does not if another helper of the process has meanwhile used it, been refused, or gone on to a new question.
pub fn finish(kept: Option<Record>, mine: &Record, phase: Phase, end: End, now: Moment) -> (Option<Record>, bool) {
    let same = kept.as_ref().is_some_and(|kept| kept.counter == mine.counter && kept.asked == mine.asked);
    match end {
        // A refusal is kept whatever came in between.
        End::Refused(code) => {
            let base = kept.unwrap_or_else(|| mine.clone());
            let code = if let Standing::Refused(earlier) = base.standing { earlier } else { code.max(1) };
            (Some(Record { standing: Standing::Refused(code), ..base }), true)
        }
        End::Approved(_) if !same => (kept, false),
        End::Approved(answer) => {
            let Some(mut record) = kept else { return (None, false) };
            if record.standing == Standing::Asked {
                record.standing = Standing::Approved { settled: now, auth: false, account: false, answer };
            }
            let usable = !record.claimed(phase);
            let Standing::Approved { settled, auth, account, .. } = &mut record.standing else {
                return (Some(record), false);
            };
            let usable = usable && now.since(*settled) <= CLAIM_WITHIN;
            if usable {
                match phase {
                    Phase::Auth => *auth = true,
                    Phase::Account => *account = true,
                }
            }
            (Some(record), usable)
        }
    }
}

impl Record {
    fn claimed(&self, phase: Phase) -> bool {
        match (&self.standing, phase) {
            (Standing::Approved { auth, .. }, Phase::Auth) => *auth,
            (Standing::Approved { account, .. }, Phase::Account) => *account,
            (Standing::Asked | Standing::Refused(_), _) => false,
        }
    }

    /// Canonical bytes ([`identree_core::canon`]).
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(PURPOSE);
        writer.put_number(self.counter);
        writer.put_number(self.asked.as_millis());
        writer.put(&[u8::from(self.reason.is_some())]);
        writer.put_text(self.reason.as_deref().unwrap_or_default());
        match &self.standing {
            Standing::Asked => writer.put_text("asked"),
            Standing::Approved { settled, auth, account, answer } => {
                writer.put_text("approved");
                writer.put_number(settled.as_millis());
                writer.put(&[u8::from(*auth), u8::from(*account)]);
                writer.put(&answer.bytes);
                writer.put(&answer.signature);
            }
            Standing::Refused(code) => {
                writer.put_text("refused");
                writer.put(&[*code]);
            }
        }
        writer.finish()
    }

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, a torn write included.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, PURPOSE)?;
        let counter = reader.take_number()?;
        let asked = Moment::from_millis(reader.take_number()?);
        let [stated] = reader.take_array()?;
        let reason = reader.take_text()?.to_owned();
        if stated > 1 || (stated == 0 && !reason.is_empty()) {
            return Err(Malformed);
        }
        let reason = (stated == 1).then_some(reason);
        let standing = match reader.take_text()? {
            "asked" => Standing::Asked,
            "approved" => {
                let settled = Moment::from_millis(reader.take_number()?);
                let [auth, account] = reader.take_array()?;
                if auth > 1 || account > 1 {
                    return Err(Malformed);
                }
                let answer = SignedAnswer { bytes: reader.take()?.to_vec(), signature: reader.take()?.to_vec() };
                Standing::Approved { settled, auth: auth == 1, account: account == 1, answer }
            }
            "refused" => {
                let [code] = reader.take_array()?;
                Standing::Refused(code)
            }
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(Self { counter, asked, reason, standing })
    }
}

const PURPOSE: &[u8] = b"identree claim v2";

#[cfg(test)]
mod tests;
