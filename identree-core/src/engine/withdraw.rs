//! Ending what waits for a target that may not ask any more.

use super::vote::ROUNDS;
use super::{Engine, EngineError, plan};
use crate::id::{ChallengeId, Target};
use crate::store::StoreError;

impl Engine {
    /// Ends every waiting question about a target that is gone as refused, with the reason, and tells whoever waits. Gives how
    /// many.
    ///
    /// # Errors
    /// [`EngineError`] if one of them could not be ended; those before it are.
    pub async fn withdraw(&self, gone: impl Fn(&Target) -> bool + Send, why: &str) -> Result<usize, EngineError> {
        self.check_clock().await?;
        let mut ended = 0;
        for record in self.0.live.pending() {
            if gone(&record.question().target) && self.withdraw_one(record.question().id, why).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }

    async fn withdraw_one(&self, id: ChallengeId, why: &str) -> Result<bool, EngineError> {
        for _ in 0..ROUNDS {
            let Some(record) = self.record(id).await? else { return Ok(false) };
            let Some(plan) = plan::withdraw(&record, why, self.event_id(), self.0.clock.now()) else {
                return Ok(false);
            };
            match self.commit(plan).await {
                Err(EngineError::Store(StoreError::Conflict)) => self.reload(id).await?,
                done => return done.map(|_| true),
            }
        }
        Err(EngineError::Store(StoreError::Conflict))
    }
}
