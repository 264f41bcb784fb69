//! Whether this server's clock may be gone by: several servers over one store decide by one time, the store's.
//!
//! A store that one process has to itself goes by this machine's clock, so that nothing is looked at there.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::{Engine, EngineError, Inner};
use crate::store::{Store, StoreError};
use crate::time::{Clock, Timestamp};

/// How far a clock may be off the store's.
const MOST_OFF: Duration = Duration::from_secs(2);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a look counts, by this server's time: a clock that jumps ahead ends it at once, and whatever is to be decided then
/// looks first.
const COUNTS: Duration = Duration::from_secs(3);

/// This server's clock is too far off the store's to decide anything by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct ClockOff {
    /// By how much at least.
    pub by: Duration,
    /// Which way.
    pub side: Side,
    /// The machine's clock is right, and time here is ahead of it since it went back: in this process it stays so.
    pub only_a_restart_helps: bool,
}

/// Which way a clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It shows what is yet to come.
    Ahead,
    /// It shows what has been.
    Behind,
}

impl fmt::Display for ClockOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Ahead => "ahead of",
            Side::Behind => "behind",
        };
        write!(f, "this server's clock is {:.1} s {side} the database's", self.by.as_secs_f64())
    }
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// When, by this server's clock; none before the first.
    at: Option<Timestamp>,
    off: Option<ClockOff>,
}

impl Look {
    fn counts(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| at <= now && now.since(at) < COUNTS)
    }
}

/// What is known of the clock.
#[derive(Debug)]
pub(super) struct Fitness {
    last: watch::Sender<Look>,
    /// One looks at a time, and the others take what was seen.
    looking: Mutex<()>,
    shared: bool,
}

impl Fitness {
    pub(super) fn new(shared: bool) -> Self {
        Self { last: watch::Sender::default(), looking: Mutex::default(), shared }
    }

    /// Whether other servers write to the same store.
    pub(super) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// What the last look saw.
    pub(super) fn off(&self) -> Option<ClockOff> {
        self.last.borrow().off
    }

    /// Whether decisions may be made now. Looks only where the last look does not count any more.
    pub(super) async fn check(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), EngineError> {
        if !self.shared {
            return Ok(());
        }
        if !self.last.borrow().counts(clock.now()) {
            let _one = self.looking.lock().await;
            if !self.last.borrow().counts(clock.now()) {
                self.look(store, clock).await?;
            }
        }
        self.off().map_or(Ok(()), |off| Err(EngineError::ClockOff(off)))
    }

    /// Reads the store's clock between two readings of ours: ours is off where neither fits. Both of ours must fit: lives are
    /// measured by one, and what others show is compared with the other.
    async fn look(&self, store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
        let before = (clock.now(), clock.wall());
        let there = store.clock().await?;
        let after = (clock.now(), clock.wall());
        let off = judged(off(before.0, there, after.0), off(before.1, there, after.1));
        let was = self.last.send_replace(Look { at: Some(before.0), off }).off;
        match (was, off) {
            (Some(ClockOff { only_a_restart_helps: false, .. }) | None, Some(off)) if off.only_a_restart_helps => {
                tracing::error!(
                    "{off}, and the machine's clock is right: this server decides nothing until it is started anew"
                );
            }
            (None, Some(off)) => tracing::error!("{off}: nothing is decided here until it is right"),
            (Some(_), None) => tracing::info!("this server's clock agrees with the database's again"),
            _ => {}
        }
        Ok(())
    }
}

/// What follows from how far time here and the machine's clock are off.
fn judged(steady: Option<ClockOff>, wall: Option<ClockOff>) -> Option<ClockOff> {
    let only_a_restart_helps = wall.is_none();
    match steady {
        Some(off) if off.side == Side::Ahead => Some(ClockOff { only_a_restart_helps, ..off }),
        off => off.or(wall),
    }
}

/// By how much at least a clock that was read before and after is off.
fn off(before: Timestamp, there: Timestamp, after: Timestamp) -> Option<ClockOff> {
    let (ahead, behind) = (before.since(there), there.since(after));
    let off = |by, side| ClockOff { by, side, only_a_restart_helps: false };
    if ahead > MOST_OFF {
        Some(off(ahead, Side::Ahead))
    } else {
        (behind > MOST_OFF).then_some(off(behind, Side::Behind))
    }
}

/// Looks every second while the engine lives.
pub(super) fn start(engine: &Engine) {
    if !engine.0.fitness.shared {
        return;
    }
    let weak = Arc::downgrade(&engine.0);
    let stopped = engine.0.tasks.stopped();
    engine.0.tasks.spawn(async move {
        tokio::select! {
            () = stopped => {}
            () = run(weak) => {}
        }
    });
}

async fn run(weak: Weak<Inner>) {
    loop {
        let sleep = {
            let Some(inner) = weak.upgrade() else { return };
            let one = inner.fitness.looking.lock().await;
            // A store that does not answer is seen by its own check, and nothing is decided without it.
            let _ = inner.fitness.look(&*inner.store, &*inner.clock).await;
            drop(one);
            inner.clock.sleep_until(inner.clock.now() + LOOK_EVERY)
        };
        sleep.await;
    }
}

impl Engine {
    /// Whether this server may decide: [`EngineError::ClockOff`] while its clock is more than two seconds off the store's, which
    /// only a store that several servers share can tell.
    ///
    /// # Errors
    /// [`EngineError::ClockOff`]; [`EngineError::Store`] if the store does not tell its time.
    pub async fn check_clock(&self) -> Result<(), EngineError> {
        self.0.fitness.check(&*self.0.store, &*self.0.clock).await
    }

    /// How far this server's clock was off when it was looked at last, if that is too far to decide anything. Never waits.
    pub fn clock_off(&self) -> Option<ClockOff> {
        self.0.fitness.off()
    }

    /// Waits until only a new process would decide again ([`ClockOff::only_a_restart_helps`]): whoever runs this one then ends
    /// it, so that it is started anew. For ever where the store is not shared.
    ///
    /// # Cancel safety
    /// May be dropped and called again: nothing is lost.
    pub async fn until_only_a_restart_helps(&self) -> ClockOff {
        let mut looks = self.0.fitness.last.subscribe();
        loop {
            if let Some(off) = looks.borrow_and_update().off.filter(|off| off.only_a_restart_helps) {
                return off;
            }
            if looks.changed().await.is_err() {
                std::future::pending::<()>().await; // the engine is gone, with its clock
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(100_000 + millis)
    }

    #[test]
    fn only_what_the_way_there_and_back_does_not_explain_is_off() {
        assert_eq!(off(at(0), at(0), at(1)), None);
        assert_eq!(off(at(2000), at(0), at(2001)), None);
        let barely = |side| ClockOff { by: Duration::from_millis(2001), side, only_a_restart_helps: false };
        assert_eq!(off(at(2001), at(0), at(2002)), Some(barely(Side::Ahead)));
        assert_eq!(off(at(-2002), at(0), at(-2001)), Some(barely(Side::Behind)));
        assert_eq!(off(at(-2500), at(0), at(500)), None, "the answer took three seconds");
        assert_eq!(off(at(-500), at(0), at(2500)), None, "and so");
        let hour = off(at(3_600_000), at(0), at(3_603_000)).unwrap();
        assert_eq!(hour.to_string(), "this server's clock is 3600.0 s ahead of the database's");
        let hour = off(at(-3_603_000), at(0), at(-3_600_000)).unwrap();
        assert_eq!(hour.to_string(), "this server's clock is 3600.0 s behind the database's");
    }

    #[test]
    fn only_a_restart_helps_where_the_machine_is_right_and_time_here_is_ahead() {
        let hour = |side| ClockOff { by: Duration::from_secs(3600), side, only_a_restart_helps: false };
        let (ahead, behind) = (hour(Side::Ahead), hour(Side::Behind));
        assert_eq!(judged(Some(ahead), None), Some(ClockOff { only_a_restart_helps: true, ..ahead }));
        assert_eq!(judged(Some(ahead), Some(ahead)), Some(ahead), "the next process would be off too");
        assert_eq!(judged(Some(ahead), Some(behind)), Some(ahead), "and so");
        assert_eq!(judged(None, Some(behind)), Some(behind));
        assert_eq!(judged(Some(behind), Some(behind)), Some(behind));
        assert_eq!(judged(Some(behind), None), Some(behind), "it follows the machine's by itself");
        assert_eq!(judged(None, None), None);
    }
}
