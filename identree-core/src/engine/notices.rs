//! Which questions have lanes to the channels: see [`crate::notify`].

use std::sync::Arc;

use tokio::sync::watch;

use super::Engine;
use crate::challenge::ChallengeRecord;
use crate::notify::dispatch::Lane;
use crate::store::StoreError;

impl Engine {
    /// Has a question told on every channel from now on. Costs nothing without channels.
    pub(super) fn tell(&self, updates: &watch::Receiver<Arc<ChallengeRecord>>) {
        let Some(dispatch) = &self.0.dispatch else { return };
        for channel in &dispatch.channels {
            let stop = self.0.tasks.stopped();
            let lane = Lane::new(Arc::clone(dispatch), Arc::clone(channel), updates.clone(), stop);
            self.0.tasks.spawn(lane.run());
        }
    }
}

/// At the start: what waits, and what ended while nobody could tell.
pub(super) async fn resume(engine: &Engine) -> Result<(), StoreError> {
    let Some(dispatch) = &engine.0.dispatch else { return Ok(()) };
    for record in engine.0.live.pending() {
        engine.tell(&engine.0.live.publish(record));
    }
    for id in dispatch.unfinished().await? {
        if let Some(record) = engine.0.store.challenge(id).await?.filter(|record| !record.is_pending()) {
            engine.tell(&engine.0.live.publish(record));
        }
    }
    Ok(())
}
