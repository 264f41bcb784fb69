//! Grafana Loki's push API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::egress::HttpTransport;
use identree_core::secret::Secret;
use identree_core::time::Clock;
use serde::Serialize;
use url::Url;

use crate::http::{Endpoint, EndpointError};
use crate::line;

/// The path of the API (Loki's manual, "Ingest logs").
const PATH: &str = "/loki/api/v1/push";
/// The most text in one body, before compression: Loki takes 4 MiB a second and stream unless told otherwise.
const MOST: usize = 1024 * 1024;
/// The longest line it takes unless told otherwise (`max_line_size`); a longer one goes without its details.
const LONGEST: usize = 256 * 1024;

/// Where Loki is.
#[derive(Debug)]
pub struct LokiSettings {
    /// Its address, as `http://loki:3100`; the path of the API is appended unless it stands there.
    pub url: Url,
    /// A bearer token.
    pub token: Option<Secret<String>>,
    /// The tenant (`X-Scope-OrgID`).
    pub tenant: Option<String>,
}

/// Pushes events in batches, compressed, each at its own time; the text is the line of JSON (see [`line`](mod@crate::line)).
///
/// The labels are `app="identree"` and `job="identree-audit"`, no more: one stream keeps the order of the log. `seq`, `event`, `host` and `user`
/// are structured metadata; where a Loki does not allow that, they are left out, and are in the line anyway.
///
/// Loki refuses what is too old or too far behind its newest entry. Such events are not left out: they go to a second stream, with the
/// label `late="true"`, at the time of sending; their own time is in the line.
pub struct LokiSink {
    name: SinkName,
    endpoint: Endpoint,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    plain: AtomicBool,
    most: AtomicUsize,
}

/// When the entries of a push are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    TheirOwn,
    /// For what is too late for its own.
    Now,
}

#[derive(Serialize)]
struct Push<'a> {
    streams: [Stream<'a>; 1],
}

#[derive(Serialize)]
struct Stream<'a> {
    stream: Labels,
    values: &'a [Value],
}

#[derive(Serialize)]
struct Labels {
    app: &'static str,
    job: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Plain(String, String),
    Described(String, String, Metadata),
}

/// Texts all: Loki takes nothing else.
#[derive(Serialize)]
struct Metadata {
    seq: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

impl LokiSink {
    /// A sink for this Loki.
    ///
    /// # Errors
    /// [`EndpointError`] if the address, the token or the tenant cannot be used.
    pub fn new(
        settings: LokiSettings,
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EndpointError> {
        let mut url = settings.url;
        if !url.path().ends_with(PATH) {
            let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let mut endpoint = Endpoint::new(&url)?;
        if let Some(token) = settings.token {
            endpoint = endpoint.token("Bearer", token)?;
        }
        if let Some(tenant) = settings.tenant {
            endpoint = endpoint.header("x-scope-orgid", &tenant)?;
        }
        let (plain, most) = (AtomicBool::new(false), AtomicUsize::new(MOST));
        Ok(Self { name: SinkName("loki".into()), endpoint, transport, clock, plain, most })
    }

    /// How many of the first events go in one body.
    fn first<'a>(&self, events: &'a [SealedEvent]) -> (&'a [SealedEvent], Vec<String>) {
        let (most, mut length, mut lines) = (self.most.load(Ordering::Relaxed), 0, Vec::with_capacity(events.len()));
        for event in events {
            let mut text = Vec::with_capacity(768);
            line::write(event, &mut text);
            if text.len() > LONGEST {
                text.clear();
                line::write_shortened(event, &mut text);
            }
            length += text.len();
            if length > most && !lines.is_empty() {
                break;
            }
            // JSON is UTF-8.
            lines.push(String::from_utf8_lossy(&text).into_owned());
        }
        (&events[..lines.len()], lines)
    }

    async fn push(&self, events: &[SealedEvent], lines: &[String], times: Times) -> Result<Response<Bytes>, SinkError> {
        let plain = self.plain.load(Ordering::Relaxed);
        let now = self.clock.now().as_millis();
        let value = |((n, event), line): ((i64, &SealedEvent), &String)| {
            let (at, line) = match times {
                Times::TheirOwn => (event.event.at.as_millis() * 1_000_000, line.clone()),
                // A nanosecond apart, so that they stay in their order.
                Times::Now => (now * 1_000_000 + n, line.clone()),
            };
            if plain {
                Value::Plain(at.to_string(), line)
            } else {
                Value::Described(at.to_string(), line, metadata(event))
            }
        };
        let values: Vec<_> = (0..).zip(events).zip(lines).map(value).collect();
        let late = (times == Times::Now).then_some("true");
        let stream = Stream { stream: Labels { app: "identree", job: "identree-audit", late }, values: &values };
        let body =
            serde_json::to_vec(&Push { streams: [stream] }).map_err(|error| SinkError::never(error.to_string()))?;
        self.endpoint.post(&*self.transport, &self.endpoint.url, &body).await
    }
}

impl std::fmt::Debug for LokiSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LokiSink").field("url", &self.endpoint.url.as_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuditSink for LokiSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        let (events, lines) = self.first(events);
        let safe = events.last().map_or(EventSeq(0), |event| event.seq);
        let mut times = Times::TheirOwn;
        loop {
            let answer = self.push(events, &lines, times).await?;
            match refusal(&answer) {
                None => return Ok(safe),
                Some(Refusal::Late) if times == Times::TheirOwn => {
                    let told = self.endpoint.told(&answer);
                    tracing::warn!(
                        "events up to {} are too late for Loki and go to its stream late=\"true\": {told}",
                        safe.0
                    );
                    times = Times::Now;
                }
                Some(Refusal::NoMetadata) if !self.plain.swap(true, Ordering::Relaxed) => {}
                Some(Refusal::TooMuch) if events.len() > 1 => {
                    let length: usize = lines.iter().map(String::len).sum();
                    self.most.store(length / 2, Ordering::Relaxed);
                    return Err(SinkError::later(format!(
                        "{length} bytes are too many for Loki: half is sent next time"
                    )));
                }
                Some(Refusal::Early) => return Err(SinkError::later(self.endpoint.refused(&answer).text)),
                Some(Refusal::NotLoki) => {
                    let status = answer.status().as_u16();
                    return Err(SinkError::never(format!(
                        "{status} is no answer of Loki's, which is 204; is the address right?"
                    )));
                }
                Some(_) => return Err(self.endpoint.refused(&answer)),
            }
        }
    }
}

fn metadata(event: &SealedEvent) -> Metadata {
    Metadata {
        seq: event.seq.0.to_string(),
        event: event.event.kind.as_str(),
        host: line::hostname(event).map(str::to_owned),
        user: event.event.subject.as_ref().map(|name| name.as_str().to_owned()),
    }
}

/// Why Loki did not take a push.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Too old, or too far behind the newest entry of the stream: its own time will never do.
    Late,
    /// From the future: its time comes.
    Early,
    /// It does not allow structured metadata.
    NoMetadata,
    /// More than it takes at once.
    TooMuch,
    NotLoki,
    Other,
}

/// By the texts of its `pkg/validation/validate.go`: there are no codes.
fn refusal(answer: &Response<Bytes>) -> Option<Refusal> {
    let text = String::from_utf8_lossy(answer.body());
    let has = |texts: &[&str]| texts.iter().any(|each| text.contains(each));
    Some(match answer.status() {
        StatusCode::NO_CONTENT => return None,
        status if status.is_success() => Refusal::NotLoki,
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooMuch,
        StatusCode::BAD_REQUEST if has(&["too far behind", "timestamp too old", "out of order"]) => Refusal::Late,
        StatusCode::BAD_REQUEST if has(&["timestamp too new"]) => Refusal::Early,
        StatusCode::BAD_REQUEST if has(&["structured metadata"]) => Refusal::NoMetadata,
        _ => Refusal::Other,
    })
}
