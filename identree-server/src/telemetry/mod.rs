//! Metrics: what is counted, and the text that Prometheus scrapes.
//!
//! A [`Telemetry`] is one recorder. The parts of a server that count get their handles from it when they are composed, so
//! several servers in one process never mix; what the `metrics` facade counts elsewhere (the identity provider, the
//! transactions of the store) goes to it once it is [installed](Telemetry::install). Without one nothing is counted.

mod audit;
pub mod catalogue;
mod http;
mod store;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
pub mod traces;

use std::sync::Arc;
use std::time::Duration;

use identree_core::engine::Load;
use metrics::{Gauge, Label, Recorder as _, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use self::catalogue::{CATALOGUE, Kind, Metric};
pub use self::http::HttpMeters;
pub use self::store::CountedStore;

/// One recorder with every metric of the catalogue. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    gauges: Arc<Gauges>,
}

/// What is read at a scrape, each from where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What waits in the engine.
    pub load: Load,
    /// Open connections.
    pub connections: usize,
    /// Open event streams.
    pub streams: usize,
    /// Registered hosts.
    pub hosts: usize,
    /// How far the clock is off the database's, if that is too far to decide anything.
    pub clock_off: Duration,
}

struct Gauges {
    challenges: Gauge,
    waiters: Gauge,
    pages: Gauge,
    connections: Gauge,
    streams: Gauge,
    hosts: Gauge,
    clock_off: Gauge,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// A recorder of its own, with every series that is known beforehand at 0.
    pub fn new() -> Self {
        let buckets = CATALOGUE.iter().filter_map(|metric| match metric.kind {
            Kind::Histogram(buckets) => Some((metric.name, buckets)),
            Kind::Counter | Kind::Gauge => None,
        });
        let builder = buckets.fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
            // Without buckets a histogram would be a summary. Err: no buckets, which the catalogue's test excludes.
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets).unwrap_or_default()
        });
        let recorder = Arc::new(builder.build_recorder());
        let handle = recorder.handle();
        let gauges = with_local_recorder(&*recorder, || {
            for metric in CATALOGUE {
                describe(&recorder, metric);
                begin(metric);
            }
            metrics::gauge!("identree_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
            Gauges {
                challenges: metrics::gauge!("identree_active_challenges"),
                waiters: metrics::gauge!("identree_held_waiters"),
                pages: metrics::gauge!("identree_held_pages"),
                connections: metrics::gauge!("identree_open_connections"),
                streams: metrics::gauge!("identree_event_streams"),
                hosts: metrics::gauge!("identree_registered_hosts"),
                clock_off: metrics::gauge!("identree_clock_off_seconds"),
            }
        });
        Self { recorder, handle, gauges: Arc::new(gauges) }
    }

    /// Makes it the recorder of this process, for what the facade counts. False if there is one already: then that one
    /// goes on.
    pub fn install(&self) -> bool {
        metrics::set_global_recorder(Arc::clone(&self.recorder)).is_ok()
    }

    /// Runs something that makes handles; they belong to this recorder.
    pub fn register<T>(&self, make: impl FnOnce() -> T) -> T {
        with_local_recorder(&*self.recorder, make)
    }

    /// Everything, in the text format of Prometheus (version 0.0.4).
    pub fn render(&self, standing: Standing) -> String {
        let Gauges { challenges, waiters, pages, connections, streams, hosts, clock_off } = &*self.gauges;
        clock_off.set(standing.clock_off.as_secs_f64());
        let read = [
            (challenges, standing.load.questions),
            (waiters, standing.load.waiters),
            (pages, standing.load.followers),
            (connections, standing.connections),
            (streams, standing.streams),
            (hosts, standing.hosts),
        ];
        for (gauge, count) in read {
            gauge.set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        }
        self.handle.render()
    }

    /// Folds what the histograms have observed since; between scrapes somebody must, or it piles up.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

fn describe(recorder: &PrometheusRecorder, metric: &Metric) {
    let (name, help) = (metric.name.into(), metric.help.into());
    match metric.kind {
        Kind::Counter => recorder.describe_counter(name, None, help),
        Kind::Gauge => recorder.describe_gauge(name, None, help),
        Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
    }
}

/// Makes the series of a metric whose labels' values are all known.
fn begin(metric: &Metric) {
    let mut series: Vec<Vec<Label>> = vec![Vec::new()];
    for label in metric.labels {
        let with = |labels: &Vec<Label>, value: &&'static str| {
            [labels.as_slice(), &[Label::from_static_parts(label.name, value)]].concat()
        };
        series = series.iter().flat_map(|labels| label.values.iter().map(|value| with(labels, value))).collect();
    }
    for labels in series {
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, labels).absolute(0),
            Kind::Histogram(_) => drop(metrics::histogram!(metric.name, labels)),
            Kind::Gauge => {}
        }
    }
}

/// How long something takes, for the metrics alone: no decision rests on it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "a measured duration decides nothing, and milliseconds are too coarse"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
