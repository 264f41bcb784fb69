//! Deciding, and taking back.

use std::sync::Arc;

use super::open::policy_input;
use super::plan::{self, Ballot, Facts, Planned};
use super::{Engine, EngineError, Refusal, Verdict, Vote, VoteRefusal};
use crate::actor::Actor;
use crate::challenge::ChallengeRecord;
use crate::id::ChallengeId;
use crate::store::StoreError;

/// How often a vote is planned again after somebody else's change. Each round means that another vote was counted.
pub(super) const ROUNDS: usize = 64;

impl Engine {
    /// Takes one person's vote. Of simultaneous votes exactly one settles the question.
    ///
    /// # Errors
    /// [`EngineError`] if the vote could not be written; a vote that does not count is
    /// [`Verdict::Refused`] with [`Refusal::Vote`].
    pub async fn vote(&self, id: ChallengeId, by: &Actor, vote: Vote) -> Result<Verdict, EngineError> {
        self.check_clock().await?;
        let ballot = Ballot { by, vote: &vote };
        for _ in 0..ROUNDS {
            let Some(record) = self.record(id).await? else {
                return Ok(not_found());
            };
            if self.0.fitness.is_shared() && !record.is_pending() {
                // Whoever looks next sees no older state, whatever is still on its way here.
                self.0.live.recall(Arc::clone(&record));
            }
            let now = self.0.clock.now();
            let directory = self.0.directory.snapshot();
            let current = self.0.policy.evaluate(&policy_input(record.question(), now, &directory)).await?;
            let facts =
                Facts { directory: &directory, admin_groups: &self.0.settings.admin_groups, current: &current, now };
            let planned = plan::vote(&record, &ballot, &facts, self.event_id());
            match self.carry_out(planned).await {
                Err(EngineError::Store(StoreError::Conflict)) => self.reload(id).await?,
                done => return done,
            }
        }
        Err(EngineError::Store(StoreError::Conflict))
    }

    /// Takes a question back: only the person who asked may.
    ///
    /// # Errors
    /// [`EngineError`] if it could not be written.
    pub async fn cancel(&self, id: ChallengeId, by: &Actor) -> Result<Verdict, EngineError> {
        self.check_clock().await?;
        for _ in 0..ROUNDS {
            let Some(record) = self.record(id).await? else {
                return Ok(not_found());
            };
            let planned = plan::cancel(&record, by, self.event_id(), self.0.clock.now());
            match self.carry_out(planned).await {
                Err(EngineError::Store(StoreError::Conflict)) => self.reload(id).await?,
                done => return done,
            }
        }
        Err(EngineError::Store(StoreError::Conflict))
    }

    async fn carry_out(&self, planned: Planned) -> Result<Verdict, EngineError> {
        match planned {
            Planned::Change(plan) => {
                let record: Arc<ChallengeRecord> = self.commit(plan).await?;
                self.verdict(&record).await
            }
            Planned::ChangeAndRefuse(plan, refusal) => {
                self.commit(plan).await?;
                Ok(Verdict::Refused(Refusal::Vote(refusal)))
            }
            Planned::Refuse(batch, refusal) => {
                self.0.store.commit(batch).await?;
                Ok(Verdict::Refused(Refusal::Vote(refusal)))
            }
        }
    }

    /// A waiting question as the store has it, where other servers write to it too; none if it is gone.
    pub(super) async fn newest(
        &self,
        known: Arc<ChallengeRecord>,
    ) -> Result<Option<Arc<ChallengeRecord>>, EngineError> {
        if !self.0.fitness.is_shared() || !known.is_pending() {
            return Ok(Some(known));
        }
        let id = known.question().id;
        self.reload(id).await?;
        Ok(self.0.live.get(id))
    }

    pub(super) async fn reload(&self, id: ChallengeId) -> Result<(), EngineError> {
        match self.0.store.challenge(id).await? {
            Some(stored) => drop(self.0.live.learn(stored)),
            None => self.0.live.forget(id),
        }
        Ok(())
    }
}

const fn not_found() -> Verdict {
    Verdict::Refused(Refusal::Vote(VoteRefusal::NotFound))
}
