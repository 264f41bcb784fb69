//! Sealing and shipping beside the engine: one task seals, one per sink ships.

use std::sync::Arc;

use tokio::sync::watch;

use super::Engine;
use crate::audit::pump::{Counts, Pump};
use crate::audit::seal::Sealer;
use crate::audit::{AuditLog, AuditSink, LogKey, LogSettings, Origin};
use crate::grant::LocalSigner;
use crate::rng::Entropy;
use crate::store::{ReplicaId, Store};
use crate::time::Clock;

/// Which log it is, where nobody said.
const UNNAMED: &str = "localhost/log";

/// What becomes of the events, as the builder was told.
#[derive(Default)]
pub(super) struct Audit {
    pub(super) log: Option<LogSettings>,
    pub(super) sinks: Vec<Arc<dyn AuditSink>>,
}

/// The tasks to be.
pub(super) struct Workers {
    sealer: Sealer,
    pumps: Vec<Pump>,
}

impl Audit {
    /// Nothing, if nobody asked for a log.
    pub(super) fn prepare(
        self,
        store: &Arc<dyn Store>,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
        replica: &ReplicaId,
    ) -> Option<(AuditLog, Workers)> {
        let settings = match self.log {
            Some(settings) => settings,
            None if self.sinks.is_empty() => return None,
            None => LogSettings { signer: Arc::new(LocalSigner::generate(entropy)), origin: Origin::parse(UNNAMED)? },
        };
        let sealed = Arc::new(watch::Sender::new(0));
        let pump = |sink| Pump {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            replica: replica.clone(),
            sink,
            counts: Arc::new(Counts::default()),
            sealed: sealed.subscribe(),
        };
        let pumps: Vec<_> = self.sinks.into_iter().map(pump).collect();
        let counts = pumps.iter().map(|pump| (pump.sink.name().clone(), Arc::clone(&pump.counts))).collect();
        let key = LogKey { origin: settings.origin.clone(), key: settings.signer.public_key() };
        let log = AuditLog::new((Arc::clone(store), Arc::clone(clock)), key, Arc::clone(&sealed), counts);
        let parts = (Arc::clone(clock), Arc::clone(entropy));
        let sealer = Sealer::new(Arc::clone(store), parts, settings, (replica.clone(), sealed));
        Some((log, Workers { sealer, pumps }))
    }
}

impl Workers {
    /// Starts them; the engine's stop ends them, and waits for it.
    pub(super) fn start(self, engine: &Engine) {
        let tasks = &engine.0.tasks;
        tasks.spawn(self.sealer.run(tasks.stopped()));
        for pump in self.pumps {
            tasks.spawn(pump.run(tasks.stopped()));
        }
    }
}

impl Engine {
    /// The sealed log; none if the engine was built without [`log`](super::EngineBuilder::log) and
    /// [`audit`](super::EngineBuilder::audit).
    pub fn log(&self) -> Option<&AuditLog> {
        self.0.log.as_ref()
    }
}
