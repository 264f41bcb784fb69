//! Asking.

use std::sync::Arc;

use tracing::Instrument as _;

use super::caps::{Limit, Place};
use super::plan::{self, Asked, Plan};
use super::{Ask, Engine, EngineError, Opened};
use crate::challenge::{ChallengeRecord, Question, UserCode};
use crate::id::{ChallengeId, Nonce};
use crate::policy::PolicyInput;
use crate::rng;
use crate::store::StoreError;

impl Engine {
    /// Opens a question, or finds the one that this nonce has opened before.
    ///
    /// A rule may settle it at once; then the verdict is there already.
    ///
    /// # Errors
    /// [`EngineError::NonceReused`] if the nonce stands for another question; [`EngineError::Limited`] if too many wait
    /// already or the requester was denied too often; others if the question could not be
    /// written. An error is never an answer.
    ///
    /// # Cancel safety
    /// A dropped call may have opened the question; the same nonce finds it.
    pub async fn open(&self, ask: Ask<'_>) -> Result<Opened, EngineError> {
        let nonce = ask.nonce.unwrap_or_else(|| Nonce::from_bytes(rng::bytes(&self.0.entropy)));
        let id = ChallengeId::derive(ask.challenge.target(), &nonce);
        if let Some(known) = self.0.live.get(id)
            && let Some(known) = self.newest(known).await?
        {
            return self.again(&ask, known).await;
        }
        self.check_clock().await?;
        let plan = self.plan(&ask, id, nonce).await?;
        let place = match self.place(&plan) {
            Ok(place) => place,
            // What was asked before is no new question, however many wait.
            Err(limit) => match self.0.store.challenge(id).await? {
                Some(known) => return self.again(&ask, known).await,
                None => return Err(limit.into()),
            },
        };
        match self.commit_in(place, plan).await {
            Ok(record) => {
                let verdict = self.verdict(&record).await?;
                Ok(Opened { record, verdict })
            }
            // Only the id can be in the way: this nonce has asked before, long ago or on another replica.
            Err(EngineError::Store(StoreError::Conflict)) => match self.0.store.challenge(id).await? {
                Some(known) => {
                    // What is known here may be newer by now.
                    let updates = self.0.live.recall(known);
                    let known = Arc::clone(&updates.borrow());
                    self.again(&ask, known).await
                }
                None => Err(EngineError::Store(StoreError::Conflict)),
            },
            Err(error) => Err(error),
        }
    }

    async fn plan(&self, ask: &Ask<'_>, id: ChallengeId, nonce: Nonce) -> Result<Plan, EngineError> {
        let now = self.0.clock.now();
        let directory = self.0.directory.snapshot();
        let challenge = ask.challenge;
        let question = Question {
            id,
            code: UserCode::from_entropy(&self.0.entropy),
            nonce,
            kind: challenge.kind(),
            requester: challenge.requester().clone(),
            target: challenge.target().clone(),
            target_groups: challenge.target_groups().to_vec(),
            run_as: challenge.run_as().cloned(),
            command: challenge.command().map(str::to_owned),
            command_is_exact: challenge.command_is_exact(),
            summary: challenge.summary(),
            payload_sha256: challenge.payload().sha256(),
            requirement: None,
            policy_revision: self.0.policy.revision(),
            created_at: now,
            expires_at: now + ask.life.unwrap_or(self.0.settings.question_life),
        };
        let outcome = self.0.policy.evaluate(&policy_input(&question, now, &directory)).await?;
        Ok(plan::open(Asked { question, outcome, whence: ask.whence }, &directory, self.event_id()))
    }

    fn place(&self, plan: &Plan) -> Result<Option<Place>, Limit> {
        if plan.next.is_pending() { self.0.live.reserve(&plan.next, plan.next.question().created_at) } else { Ok(None) }
    }

    /// The same question once more.
    async fn again(&self, ask: &Ask<'_>, known: Arc<ChallengeRecord>) -> Result<Opened, EngineError> {
        let question = known.question();
        let same = question.payload_sha256 == ask.challenge.payload().sha256()
            && question.kind == ask.challenge.kind()
            && question.requester == *ask.challenge.requester()
            && question.run_as.as_ref() == ask.challenge.run_as();
        if !same {
            return Err(EngineError::NonceReused);
        }
        let verdict = self.verdict(&known).await?;
        Ok(Opened { record: known, verdict })
    }

    /// Commits a plan and makes it known. Runs to its end even when the caller goes away.
    pub(super) async fn commit(&self, plan: Plan) -> Result<Arc<ChallengeRecord>, EngineError> {
        self.commit_in(None, plan).await
    }

    /// The same for a new question, with the place that it takes.
    async fn commit_in(&self, place: Option<Place>, plan: Plan) -> Result<Arc<ChallengeRecord>, EngineError> {
        let engine = self.clone();
        let work = async move {
            engine.0.store.commit(plan.batch).await?;
            let updates = engine.0.live.publish(Arc::clone(&plan.next));
            if plan.next.revision() == 1 && plan.next.is_pending() {
                engine.tell(plan.next.question().id, &updates);
            }
            drop(place);
            Ok(plan.next)
        };
        let span = tracing::error_span!(target: "identree_trace", "commit");
        self.0.tasks.finish(work).instrument(span).await
    }
}

/// What the policy may look at, from the question as stored.
pub(super) fn policy_input<'a>(
    question: &'a Question,
    now: crate::time::Timestamp,
    directory: &'a crate::directory::Snapshot,
) -> PolicyInput<'a> {
    PolicyInput {
        kind: &question.kind,
        requester: &question.requester,
        target: &question.target,
        target_groups: &question.target_groups,
        command: question.command.as_deref(),
        command_is_exact: question.command_is_exact,
        run_as: question.run_as.as_ref(),
        now,
        directory,
    }
}
