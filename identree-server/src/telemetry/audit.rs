//! How the log and its sinks stand, as metrics: read at each scrape.

use identree_core::audit::LogStanding;
use metrics::{counter, gauge};

use super::Telemetry;

/// A count as a gauge has it: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "nobody has so many events")]
const fn float(count: u64) -> f64 {
    count as f64
}

impl Telemetry {
    /// Takes over what the engine has counted, and where the log stands.
    pub fn log(&self, standing: &LogStanding) {
        self.register(|| {
            gauge!("identree_audit_log_size").set(float(standing.size));
            gauge!("identree_audit_unsealed_events").set(float(standing.unsealed));
            gauge!("identree_audit_seal_lag_seconds").set(standing.lag.as_secs_f64());
            for sink in &standing.sinks {
                let name = || sink.name.to_string();
                gauge!("identree_audit_backlog_events", "sink" => name()).set(float(sink.backlog));
                gauge!("identree_audit_sink_parked", "sink" => name()).set(f64::from(u8::from(sink.parked)));
                let counts = [("emitted", sink.emitted), ("failed", sink.failed), ("dropped", sink.dropped)];
                for (status, count) in counts {
                    counter!("identree_audit_events_total", "sink" => name(), "status" => status).absolute(count);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use identree_core::Engine;
    use identree_core::audit::{EventKind, SinkError};
    use identree_core::engine::Load;
    use identree_core::store::{Batch, MemoryStore, Store as _};
    use identree_core::testkit::fakes;
    use identree_core::testkit::shelf::Shelf;

    use super::*;
    use crate::telemetry::Standing;

    #[tokio::test]
    async fn the_log_and_its_sinks_show() {
        let (works, refuses) = (Shelf::new("works"), Shelf::new("refuses"));
        refuses.break_down(Some(SinkError::never("the token is not accepted")));
        let store = MemoryStore::new();
        for n in 0..7 {
            store.commit(Batch::event(fakes::event(n, EventKind::SignedIn))).await.unwrap();
        }
        let engine = Engine::builder().store(store).audit(works.clone()).audit(refuses).build().await.unwrap();
        works.kept(7).await;
        let log = engine.log().unwrap();
        let mut standing = log.standing().await.unwrap();
        while standing.sinks.iter().any(|sink| sink.emitted + sink.failed == 0) {
            tokio::task::yield_now().await;
            standing = log.standing().await.unwrap();
        }
        assert_eq!(log.parked().map(ToString::to_string).collect::<Vec<_>>(), ["refuses"]);
        standing.lag = Duration::from_millis(1500);
        let telemetry = Telemetry::new();
        telemetry.log(&standing);
        let load = Load { questions: 0, waiters: 0, followers: 0 };
        let text = telemetry.render(Standing { load, connections: 0, streams: 0, hosts: 0, clock_off: Duration::ZERO });
        for line in [
            "identree_audit_log_size 7",
            "identree_audit_unsealed_events 0",
            "identree_audit_seal_lag_seconds 1.5",
            "identree_audit_backlog_events{sink=\"works\"} 0",
            "identree_audit_backlog_events{sink=\"refuses\"} 7",
            "identree_audit_sink_parked{sink=\"refuses\"} 1",
            "identree_audit_events_total{sink=\"works\",status=\"emitted\"} 7",
            "identree_audit_events_total{sink=\"works\",status=\"dropped\"} 0",
            "identree_audit_events_total{sink=\"refuses\",status=\"failed\"} 7",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
        }
        engine.shutdown().await;
    }
}
