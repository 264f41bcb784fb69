//! Traces over OTLP (HTTP, protobuf), where an operator names a collector; otherwise there are none and none is made.
//!
//! Only spans of [`TARGET`] are told: what a span may hold is decided where it is made, and none of them holds a name, an address or
//! a secret. The log has its own spans, which stay in the log.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use identree_core::egress::{HttpClient, HttpLimits, HttpTransport as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::config::Found;

/// The target of spans that are told.
pub const TARGET: &str = "identree_trace";

/// How long the collector may take, at each time and at the stop.
const WITHIN: Duration = Duration::from_secs(5);

/// The traces of this process.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// Sends what the exporter made, from whatever thread it runs on.
#[derive(Debug)]
struct Sender {
    client: HttpClient,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl opentelemetry_http::HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        Ok(self.runtime.spawn(async move { client.send(request).await }).await??)
    }
}

impl Traces {
    /// As the settings say; `None` where they name no collector. Within a runtime.
    ///
    /// # Errors
    /// What is wrong with a setting, with its name.
    pub fn from_found(found: &Found) -> Result<Option<Self>, String> {
        let get = |name| found.get(name).map(|(value, _)| value);
        let Some(endpoint) = get("OTEL_EXPORTER_OTLP_ENDPOINT") else { return Ok(None) };
        let mut url = Url::parse(endpoint).map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
        url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
        let sampler = sampler(get("OTEL_TRACES_SAMPLER"), get("OTEL_TRACES_SAMPLER_ARG"))?;
        let headers = headers(get("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default())?;
        let limits = HttpLimits { whole: WITHIN, ..HttpLimits::default() };
        let client = HttpClient::new(limits, None).map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { client, runtime: tokio::runtime::Handle::current() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.as_str())
            .with_headers(headers)
            .build()
            .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
        let name = get("OTEL_SERVICE_NAME").unwrap_or("identree").to_owned();
        let resource = Resource::builder_empty().with_service_name(name).build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
        Ok(Some(Self(provider.with_resource(resource).build())))
    }

    /// What takes spans from the program.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let tracer = self.0.tracer("identree");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        // Where in the code a span was made, and on which thread, is nothing an operator asks.
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        layer.with_filter(filter_fn(|of| of.target() == TARGET))
    }

    /// Tells what is left, at the end of the process: not for long.
    pub async fn finish(self) {
        let told = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(WITHIN)).await;
        if let Ok(Err(error)) = told {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last traces did not reach the collector");
        }
    }
}

/// The span goes on with the trace that the headers name (W3C Trace Context).
pub(crate) fn go_on(span: &tracing::Span, headers: &http::HeaderMap) {
    use opentelemetry::propagation::TextMapPropagator as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    let propagator = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    let parent = propagator.extract(&opentelemetry_http::HeaderExtractor(headers));
    let _ = span.set_parent(parent); // Err: nobody collects
}

/// The samplers that have a name in OpenTelemetry's specification.
fn sampler(name: Option<&str>, ratio: Option<&str>) -> Result<Sampler, String> {
    let by_ratio = || {
        let ratio: f64 = ratio.unwrap_or("1").parse().map_err(|_| ratio.unwrap_or_default().to_owned())?;
        if (0.0..=1.0).contains(&ratio) { Ok(Sampler::TraceIdRatioBased(ratio)) } else { Err(ratio.to_string()) }
    };
    let wrong = |ratio: String| {
        format!("OTEL_TRACES_SAMPLER_ARG: \"{}\" is no number from 0 to 1", identree_core::text::visible(&ratio))
    };
    let parent = |root| Sampler::ParentBased(Box::new(root));
    Ok(match name.unwrap_or("parentbased_always_on") {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => by_ratio().map_err(wrong)?,
        "parentbased_always_on" => parent(Sampler::AlwaysOn),
        "parentbased_always_off" => parent(Sampler::AlwaysOff),
        "parentbased_traceidratio" => parent(by_ratio().map_err(wrong)?),
        other => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER: \"{}\" is none of always_on, always_off, traceidratio and the same after parentbased_",
                identree_core::text::visible(other)
            ));
        }
    })
}

/// `name=value,name=value`, percent-encoded.
fn headers(text: &str) -> Result<HashMap<String, String>, String> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let form = format!("v={}", value.trim().replace('+', "%2B").replace('&', "%26"));
        let (_, value) = url::form_urlencoded::parse(form.as_bytes()).next()?;
        Some((name.trim().to_owned(), value.into_owned()))
    };
    // What stands there is a secret: it is not shown.
    let wrong = || "OTEL_EXPORTER_OTLP_HEADERS: is not name=value, separated by commas".to_owned();
    pairs.map(|text| pair(text).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_and_headers_are_those_of_the_specification() {
        assert!(matches!(sampler(None, None), Ok(Sampler::ParentBased(_))));
        assert!(
            matches!(sampler(Some("traceidratio"), Some("0.25")), Ok(Sampler::TraceIdRatioBased(ratio)) if ratio < 0.3)
        );
        for (name, ratio) in [("traceidratio", "2"), ("traceidratio", "x"), ("often", "1")] {
            assert!(sampler(Some(name), Some(ratio)).is_err(), "{name} {ratio}");
        }
        let read = headers("authorization=Bearer%20abc, x-scope = one").unwrap();
        assert_eq!((&*read["authorization"], &*read["x-scope"]), ("Bearer abc", "one"));
        assert!(!headers("a-secret").unwrap_err().contains("a-secret"));
    }
}
