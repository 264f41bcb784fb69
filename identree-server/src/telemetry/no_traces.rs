//! In a build without the feature `otlp`: no traces.

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Found;

/// The target of spans that would be told.
pub const TARGET: &str = "identree_trace";

/// There are none.
#[derive(Debug)]
pub enum Traces {}

impl Traces {
    /// None.
    ///
    /// # Errors
    /// If the settings ask for some.
    pub fn from_found(found: &Found) -> Result<Option<Self>, String> {
        match found.get("OTEL_EXPORTER_OTLP_ENDPOINT") {
            Some(_) => {
                Err("OTEL_EXPORTER_OTLP_ENDPOINT: this build tells no traces (it lacks the feature otlp)".into())
            }
            None => Ok(None),
        }
    }

    /// Never called.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_subscriber::layer::Identity::new()
    }

    /// Never called.
    pub async fn finish(self) {}
}
