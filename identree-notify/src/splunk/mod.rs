//! Splunk's HTTP Event Collector.

mod reply;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use identree_core::audit::{AuditSink, EventSeq, SealedEvent, SinkError, SinkName};
use identree_core::egress::HttpTransport;
use identree_core::id::EventId;
use identree_core::retry::Backoff;
use identree_core::rng::{Entropy, bytes};
use identree_core::secret::Secret;
use identree_core::text::hex;
use identree_core::time::{Clock, Timestamp};
use tokio::sync::Mutex;
use url::Url;

use self::reply::{Acked, Taken};
use crate::http::{Endpoint, EndpointError};
use crate::line;

/// The longest body, before compression: collectors of older versions take a million bytes.
const MOST: usize = 900_000;
/// How long one call waits for the indexer, and how long a batch may wait in all before it is sent again.
const ONE_WAIT: Duration = Duration::from_secs(40);
const WHOLE_WAIT: Duration = Duration::from_secs(300);
/// How often the indexer is asked.
const ASK: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4));

/// Where the collector is.
#[derive(Debug)]
pub struct SplunkSettings {
    /// Its URL, as `https://splunk.example:8088/services/collector/event`; without a path that one is taken.
    pub url: Url,
    /// The token of the input.
    pub token: Secret<String>,
    /// The machine's own name, which each event carries as `host`.
    pub host: String,
}

/// Posts events in batches, compressed, each with its own time; the event is the line of JSON (see [`line`](mod@crate::line)).
///
/// Where the input has indexer acknowledgement switched on, an event counts as safe once it is indexed; elsewhere once the collector has
/// answered that it took it, which may be before it is on a disk.
pub struct SplunkSink {
    name: SinkName,
    endpoint: Endpoint,
    ack: Url,
    /// The members of each envelope that are always the same.
    fixed: String,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    most: AtomicUsize,
    /// What the collector took and the indexer has not confirmed.
    waiting: Mutex<Option<Waiting>>,
}

/// A batch on its way to the index.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    ack: u64,
    first: (EventSeq, EventId),
    last: EventSeq,
    since: Timestamp,
}

impl SplunkSink {
    /// A sink for this collector. `entropy` makes the channel that tells its acknowledgements from those of others.
    ///
    /// # Errors
    /// [`EndpointError`] if the address or the token cannot be used.
    pub fn new(
        settings: SplunkSettings,
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, EndpointError> {
        let mut url = settings.url;
        if url.path() == "/" {
            url.set_path("/services/collector/event");
        }
        let channel = channel(bytes(entropy));
        let endpoint = Endpoint::new(&url)?.token("Splunk", settings.token)?;
        let endpoint = endpoint.header("x-splunk-request-channel", &channel)?;
        let mut ack = url.clone();
        let base =
            url.path().split_once("/services/collector").map(|(before, _)| format!("{before}/services/collector"));
        ack.set_path(&match base {
            Some(base) => format!("{base}/ack"),
            None => url.path().rsplit_once('/').map_or("/ack".to_owned(), |(before, _)| format!("{before}/ack")),
        });
        ack.query_pairs_mut().append_pair("channel", &channel);
        let fixed = serde_json::json!({ "host": settings.host, "source": "identree", "sourcetype": "identree:audit" })
            .to_string();
        Ok(Self {
            name: SinkName("splunk_hec".into()),
            endpoint,
            ack,
            fixed: fixed.trim_start_matches('{').trim_end_matches('}').to_owned(),
            transport,
            clock,
            most: AtomicUsize::new(MOST),
            waiting: Mutex::new(None),
        })
    }

    /// The envelopes of as many events as go in one body, and how many that are.
    fn body(&self, events: &[SealedEvent]) -> (Vec<u8>, usize) {
        let most = self.most.load(Ordering::Relaxed);
        let (mut body, mut count) = (Vec::with_capacity(most.min(events.len() * 1024)), 0);
        for event in events {
            let (whole, at, kind) = (body.len(), event.event.at.as_millis(), event.event.kind.as_str());
            let (seconds, millis) = (at.div_euclid(1000), at.rem_euclid(1000));
            body.extend_from_slice(format!("{{\"time\":{seconds}.{millis:03},{},\"event\":", self.fixed).as_bytes());
            line::write(event, &mut body);
            // Names of their own: what the search finds in the event itself would be there twice.
            let fields =
                format!(",\"fields\":{{\"identree_seq\":\"{}\",\"identree_event\":\"{kind}\"}}}}\n", event.seq.0);
            body.extend_from_slice(fields.as_bytes());
            if body.len() > most && count > 0 {
                body.truncate(whole);
                break;
            }
            count += 1;
        }
        (body, count)
    }

    /// Sends the first events; gives the last of them and, where the indexer will confirm them, by which number.
    async fn post(&self, events: &[SealedEvent]) -> Result<(EventSeq, Option<u64>), SinkError> {
        let (body, count) = self.body(events);
        let answer = self.endpoint.post(&*self.transport, &self.endpoint.url, &body).await?;
        if answer.status() == StatusCode::PAYLOAD_TOO_LARGE && count > 1 {
            self.most.store(body.len() / 2, Ordering::Relaxed);
            return Err(SinkError::later(format!(
                "{} bytes are too many for the collector: half is sent next time",
                body.len()
            )));
        }
        let last = events[..count].last().map_or(EventSeq(0), |event| event.seq);
        match reply::taken(&answer) {
            Taken::Yes(ack) => Ok((last, ack)),
            Taken::Busy => Err(SinkError::later(format!("the collector is busy: {}", self.endpoint.told(&answer)))),
            Taken::NotACollector => Err(SinkError::never(format!(
                "the answer is none of a collector; is the address right? {}",
                self.endpoint.told(&answer)
            ))),
            Taken::No => Err(self.endpoint.refused(&answer)),
        }
    }

    /// Asks until the batch is indexed.
    async fn indexed(&self, waiting: Waiting) -> Result<EventSeq, SinkError> {
        let until = self.clock.now() + ONE_WAIT;
        let body = format!("{{\"acks\":[{}]}}", waiting.ack);
        for tries in 0.. {
            let answer = self.endpoint.post(&*self.transport, &self.ack, body.as_bytes()).await?;
            match reply::acked(&answer, waiting.ack) {
                Acked::Yes => return Ok(waiting.last),
                Acked::NotYet => {}
                Acked::No => return Err(self.endpoint.refused(&answer)),
            }
            let next = self.clock.now() + ASK.after(tries);
            if next > until {
                break;
            }
            self.clock.sleep_until(next).await;
        }
        Err(SinkError::later("the collector took the events, and the indexer has not confirmed them"))
    }
}

impl std::fmt::Debug for SplunkSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplunkSink").field("url", &self.endpoint.url.as_str()).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuditSink for SplunkSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    async fn write(&self, events: &[SealedEvent]) -> Result<EventSeq, SinkError> {
        let Some((first, last)) = events.first().zip(events.last()) else { return Ok(EventSeq(0)) };
        let mut waiting = self.waiting.lock().await;
        let now = self.clock.now();
        let first = (first.seq, first.event.id);
        let under_way =
            waiting.filter(|one| one.first == first && one.last <= last.seq && now.since(one.since) < WHOLE_WAIT);
        let one = match under_way {
            Some(one) => one,
            None => {
                *waiting = None;
                match self.post(events).await? {
                    (safe, None) => return Ok(safe),
                    (last, Some(ack)) => *waiting.insert(Waiting { ack, first, last, since: now }),
                }
            }
        };
        let safe = self.indexed(one).await?;
        *waiting = None;
        Ok(safe)
    }
}

/// A GUID in its usual form (RFC 9562 §4), of random bytes.
fn channel(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
