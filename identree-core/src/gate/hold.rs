//! Asking and waiting on behalf of a held request, and spending its grant.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Withheld;
use crate::actor::{Actor, Strength};
use crate::audit::{AuditEvent, EventKind};
use crate::challenge::Challenge;
use crate::engine::{Ask, Engine, EngineError, Opened, Refusal, Verdict};
use crate::grant::Grant;
use crate::id::{ChallengeId, Nonce};
use crate::rng;
use crate::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use crate::time::Timestamp;

/// Which grants have let a request through.
const SPENT: Collection = Collection("gate-spent");

/// How long after a grant has lapsed it is remembered as spent, should the clock be set back.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How long after a question's end its expiry may take to be written.
const END_IS_WRITTEN: Duration = Duration::from_secs(5);

/// Opens the question and waits for its answer. A caller that goes away is noticed; without a key it takes its question back.
///
/// The work is a task of the engine: a question whose opening is under way when the caller goes away is taken back too.
pub(super) async fn hold(
    engine: &Engine,
    challenge: Box<dyn Challenge>,
    key: Option<Nonce>,
    life: Option<Duration>,
    patience: Option<Duration>,
) -> Result<Grant, Withheld> {
    let (mut told, answer) = oneshot::channel();
    let (may_come_back, nonce) = (key.is_some(), key.unwrap_or_else(|| fresh(engine)));
    let worker = engine.clone();
    engine.spawn(async move {
        let ask = Ask { nonce: Some(nonce), life, ..Ask::new(&*challenge) };
        let opened = match worker.open(ask).await {
            Ok(opened) => opened,
            Err(error) => return drop(told.send(Err(error.into()))),
        };
        let id = opened.record.question().id;
        let result = tokio::select! {
            biased;
            result = settled(&worker, opened, patience) => result,
            () = told.closed() => return if !may_come_back { take_back(&worker, id, &*challenge).await },
        };
        let unanswered = matches!(result, Err(Withheld::Pending { .. } | Withheld::Failed(_)));
        let stopping = matches!(result, Err(Withheld::Failed(_)));
        let unheard = told.send(result).is_err();
        if !may_come_back && unanswered && (unheard || stopping) {
            take_back(&worker, id, &*challenge).await;
        }
    });
    // Only a task that was torn down with its runtime says nothing.
    answer.await.unwrap_or(Err(Withheld::Failed(EngineError::ShuttingDown)))
}

fn fresh(engine: &Engine) -> Nonce {
    Nonce::from_bytes(rng::bytes(engine.entropy()))
}

/// Waits until the question is settled or the patience is over.
async fn settled(engine: &Engine, opened: Opened, patience: Option<Duration>) -> Result<Grant, Withheld> {
    let (id, expires_at) = (opened.record.question().id, opened.record.question().expires_at);
    let end = expires_at + END_IS_WRITTEN;
    let until = patience.map_or(end, |patience| end.min(engine.clock().now() + patience));
    let verdict = match opened.verdict {
        Verdict::Pending { .. } => engine.wait(id, until).await?,
        settled => settled,
    };
    let (have, need) = match verdict {
        Verdict::Granted(grant) => return Ok(grant),
        Verdict::Refused(why) => return Err(Withheld::Refused(why)),
        Verdict::Pending { have, need } => (have, need),
    };
    let now = engine.clock().now();
    if now >= end {
        Err(Withheld::Refused(Refusal::Expired)) // the store could not write it; no vote counts any more
    } else if now < until {
        Err(Withheld::Failed(EngineError::ShuttingDown)) // only a drain ends a wait early
    } else {
        let record = engine.record(id).await?.unwrap_or(opened.record);
        Err(Withheld::Pending { record, have, need })
    }
}

async fn take_back(engine: &Engine, id: ChallengeId, challenge: &dyn Challenge) {
    let requester = challenge.requester().clone();
    let actor = Actor::vouched("gate", requester, engine.clock().now(), Strength::Stated);
    if let Err(error) = engine.cancel(id, &actor).await {
        tracing::warn!(challenge.id = %id, error = &error as &dyn std::error::Error, "a question whose caller is gone could not be taken back; it will expire");
    }
}

/// Writes down that the grant lets a request through, unless it has lapsed meanwhile or one was let through before.
pub(super) async fn spend(engine: &Engine, grant: &Grant) -> Result<(), Withheld> {
    let (now, answer) = (engine.clock().now(), grant.answer());
    if now > answer.expires {
        return Err(Withheld::Refused(Refusal::Lapsed));
    }
    let mut event = AuditEvent::new(engine.event_id(), now, EventKind::GrantSpent).with("kind", answer.kind.as_str());
    event.challenge = Some(answer.challenge);
    event.subject = Some(answer.requester.clone());
    event.target = Some(answer.target.clone());
    let change = Change::Document {
        key: DocumentKey::new(SPENT, answer.challenge.to_string()),
        expect: None,
        put: Some(Put { bytes: Vec::new(), expires_at: Some(remembered_until(answer.expires)) }),
    };
    match engine.store().commit(Batch::of(change, event)).await {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict) => Err(Withheld::Spent),
        Err(error) => Err(Withheld::Failed(error.into())),
    }
}

fn remembered_until(expires: Timestamp) -> Timestamp {
    expires + REMEMBERED
}
