//! The whole conversation as a machine: what happened goes in, what to do next comes out. It knows no socket, no PAM and
//! no clock of its own.

use std::time::Duration;

use identree_core::challenge::{Challenge, UserCode};
use identree_core::grant::{Expected, KeyRing, Proven, SignedAnswer, SignedStatement, Trust, verify};
use identree_core::id::{ChallengeId, Nonce, Target};
use identree_core::time::Timestamp;
use identree_core::wire::login::{Opening, OpeningError};
use identree_core::wire::v1::{MAX_WAIT_SECS, Reply, VERSION};

use crate::clock::Moment;
use crate::config::Config;
use crate::question::Question;
use crate::transport::{Call, TransportError};
use crate::verdict::{NotAsked, Verdict};

/// How long after its question's end an answer may still be used.
pub const USABLE_AFTER: Duration = Duration::from_secs(30);
/// The longest life of a question that is believed, whatever the server says.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How much longer than the wait it asked for a call may take.
const MARGIN: Duration = Duration::from_secs(5);
/// How much later than our own end the server's may be and still be waited for.
const TOLERANCE: Duration = Duration::from_secs(2);
/// Taking a question back is a courtesy; it delays the end by no more.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);
const OUT_OF_STEP: &str = "the conversation is out of step";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Begin.
    Start,
    /// The server replied.
    Reply(Reply),
    /// The call brought no reply.
    Failed(TransportError),
    /// The pause is over.
    Rested,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// What to show first.
    pub show: Option<Ticket>,
    /// And then.
    pub next: Next,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this call within that time.
    Call(Call, Duration),
    /// Wait.
    Pause(Duration),
    /// It is over.
    Done(Verdict),
}

/// Where to approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The code to compare.
    pub code: Option<UserCode>,
    /// The page; from the server, so to be shown with care.
    pub url: Option<String>,
    /// How long there is to answer.
    pub time: Duration,
}

/// One question from opening to its end. Only a signed answer that is proven against what was asked decides.
#[derive(Debug)]
pub struct Flow {
    asked: Asked,
    /// After this moment we stop waiting.
    deadline: Moment,
    /// After this moment no answer counts.
    usable_until: Moment,
    connect: Duration,
    /// How long one call waits at most.
    hold_secs: u32,
    pause: Duration,
    state: State,
}

/// What was asked, to hold an answer against.
#[derive(Debug)]
pub struct Asked {
    nonce: Nonce,
    id: ChallengeId,
    question: Box<dyn Challenge>,
    opening: Opening,
    trust: Trust,
    keys: KeyRing,
    /// When it was asked, by the calendar: until then keys had to last.
    at: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Opening,
    Waiting {
        since: Moment,
        for_secs: u32,
    },
    Resting,
    /// The question is being taken back; how it ends is settled.
    Leaving(Verdict),
    Ended,
}

impl Asked {
    /// What this host asks under the nonce.
    ///
    /// # Errors
    /// [`OpeningError`] if it could not be shown in full.
    pub fn new<'a>(config: &Config, question: impl Into<Question<'a>>, nonce: Nonce) -> Result<Self, OpeningError> {
        let question = question.into();
        let target = Target::Host(config.hostname.clone());
        let id = ChallengeId::derive(&target, &nonce);
        let opening = question.opening(nonce);
        let (trust, keys, at) = (config.told.trust.clone(), config.keys.clone(), config.read_at);
        Ok(Self { nonce, id, question: question.challenge(target)?, opening, trust, keys, at })
    }

    /// Hears of new decision keys; only what a trusted key has signed is believed.
    fn learn(&mut self, statements: &[SignedStatement]) {
        if self.trust.learn_all(statements, self.at)
            && let Ok(keys) = self.trust.ring(self.at)
        {
            self.keys = keys;
        }
    }

    /// What the answer proves about this question; an unproven one is a misconfiguration or worse, never a yes.
    pub fn prove(&self, signed: &SignedAnswer) -> Verdict {
        let run_as = self.question.run_as();
        let expected = Expected {
            nonce: &self.nonce,
            target: self.question.target(),
            kind: &self.question.kind(),
            requester: self.question.requester(),
            run_as_user: run_as.map(|run_as| &run_as.user),
            run_as_group: run_as.and_then(|run_as| run_as.group.as_ref()),
            payload_sha256: &self.question.payload().sha256(),
        };
        match verify(signed, &self.keys, &expected) {
            Ok(Proven::Grant(grant)) => Verdict::Granted(Box::new(grant)),
            Ok(Proven::Refusal(answer)) => Verdict::Refused(Box::new(answer)),
            Err(error) => Verdict::Misconfigured(format!(
                "{error}; compare IDENTREE_DECISION_KEYS with `identree list-hosts` on the server"
            )),
        }
    }
}

impl Flow {
    /// A question first asked at `since`, which may lie in the past if an earlier helper of the process asked it.
    ///
    /// # Errors
    /// [`OpeningError`] if it could not be shown in full.
    pub fn new<'a>(
        config: &Config,
        question: impl Into<Question<'a>>,
        nonce: Nonce,
        since: Moment,
    ) -> Result<Self, OpeningError> {
        Ok(Self {
            asked: Asked::new(config, question, nonce)?,
            deadline: since + config.timeout,
            usable_until: since + config.timeout + USABLE_AFTER,
            connect: config.connect_timeout,
            hold_secs: u32::try_from(config.hold.as_secs()).unwrap_or(MAX_WAIT_SECS).clamp(1, MAX_WAIT_SECS),
            pause: FIRST_PAUSE,
            state: State::Opening,
        })
    }

    /// Which decision keys are trusted by now.
    pub const fn trust(&self) -> &Trust {
        &self.asked.trust
    }

    /// One step.
    pub fn step(&mut self, now: Moment, input: Input) -> Output {
        let state = std::mem::replace(&mut self.state, State::Ended);
        match (state, input) {
            (State::Leaving(verdict), _) => done(verdict),
            (State::Opening, Input::Start) => {
                self.state = State::Opening;
                let opening = Box::new(self.asked.opening.clone());
                let within = self.connect + MARGIN.min(self.deadline.since(now));
                next(Next::Call(Call::Open(opening), within))
            }
            (State::Resting, Input::Rested) => self.wait(now),
            (state @ (State::Opening | State::Waiting { .. }), Input::Reply(reply)) => {
                self.replied(now, &state, &reply)
            }
            (state, Input::Failed(error)) => self.failed(now, &state, error),
            // Nothing else can happen; if it does, it is no yes.
            (_, Input::Start | Input::Rested | Input::Reply(_)) => done(Verdict::Misconfigured(OUT_OF_STEP.into())),
        }
    }

    /// What to do next after the ticket has been shown for a while.
    pub fn resume(&mut self, now: Moment) -> Output {
        match self.state {
            State::Waiting { .. } => self.wait(now),
            _ => done(Verdict::Misconfigured(OUT_OF_STEP.into())),
        }
    }

    fn replied(&mut self, now: Moment, state: &State, reply: &Reply) -> Output {
        if reply.v != VERSION || reply.challenge_id != self.asked.id {
            let text = "the server answered about another question; is IDENTREE_HOSTNAME the name this host is registered under?";
            return done(Verdict::Misconfigured(text.into()));
        }
        if let Some(signed) = &reply.answer {
            self.asked.learn(&reply.statements);
            let verdict = self.asked.prove(signed);
            let late = now > self.usable_until;
            return done(if late && matches!(verdict, Verdict::Granted(_)) { Verdict::TimedOut } else { verdict });
        }
        let lifetime = Duration::from_secs(reply.expires_in.into()).min(MAX_LIFETIME);
        match state {
            State::Waiting { since, for_secs } => {
                self.deadline = self.deadline.min(now + lifetime + TOLERANCE);
                self.usable_until = self.usable_until.min(now + lifetime + USABLE_AFTER);
                // Asked to wait and did not: a server that is closing down. Do not press it.
                if now.since(*since) < Duration::from_secs((*for_secs).into()) / 2 {
                    return self.rest(now);
                }
                self.pause = FIRST_PAUSE;
                self.wait(now)
            }
            _ => {
                // Where both ends are about the same, the server's is waited for: it is signed and stands in the record.
                if now + lifetime <= self.deadline + TOLERANCE {
                    self.deadline = now + lifetime + TOLERANCE;
                }
                self.usable_until = self.usable_until.min(now + lifetime + USABLE_AFTER);
                let time = self.deadline.since(now).min(lifetime);
                let ticket = Ticket { code: reply.user_code.clone(), url: reply.verification_url.clone(), time };
                Output { show: Some(ticket), ..self.wait(now) }
            }
        }
    }

    fn failed(&mut self, now: Moment, state: &State, error: TransportError) -> Output {
        let opened = matches!(state, State::Waiting { .. } | State::Resting);
        match error {
            TransportError::Interrupted(why) => self.leave(Verdict::Cancelled(why)),
            TransportError::Untrusted(why) => done(Verdict::Misconfigured(why)),
            TransportError::Problem { status: 408 | 425 | 429 | 500.., .. }
            | TransportError::Unreachable(_)
            | TransportError::Foreign(_)
                if opened =>
            {
                self.rest(now)
            }
            TransportError::Problem { ref kind, retry_after, .. }
                if let Some(why) = NotAsked::of(kind, retry_after) =>
            {
                done(Verdict::NotAsked(why))
            }
            error @ (TransportError::Unreachable(_)
            | TransportError::Problem { status: 408 | 425 | 429 | 500.., .. }) => {
                done(Verdict::Unreachable(error.to_string()))
            }
            error @ (TransportError::Foreign(_) | TransportError::Problem { .. }) => {
                done(Verdict::Misconfigured(error.to_string()))
            }
        }
    }

    /// Waits for the answer as long as the server holds a call and there is time.
    fn wait(&mut self, now: Moment) -> Output {
        let left = self.deadline.since(now);
        if left.is_zero() {
            return self.leave(Verdict::TimedOut);
        }
        let secs = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).min(self.hold_secs);
        self.state = State::Waiting { since: now, for_secs: secs };
        // With less than a full wait left, our own deadline ends the call; otherwise a silent server does.
        let within = left.min(Duration::from_secs(secs.into()) + MARGIN);
        next(Next::Call(Call::Wait(self.asked.id, secs), within))
    }

    /// Pauses, each time twice as long.
    fn rest(&mut self, now: Moment) -> Output {
        let left = self.deadline.since(now);
        if left.is_zero() {
            return self.leave(Verdict::TimedOut);
        }
        self.state = State::Resting;
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        next(Next::Pause(pause))
    }

    /// Takes the question back, then ends.
    fn leave(&mut self, verdict: Verdict) -> Output {
        self.state = State::Leaving(verdict);
        next(Next::Call(Call::Cancel(self.asked.id), CANCEL_WITHIN))
    }
}

const fn next(next: Next) -> Output {
    Output { show: None, next }
}

const fn done(verdict: Verdict) -> Output {
    next(Next::Done(verdict))
}

#[cfg(test)]
mod tests;
