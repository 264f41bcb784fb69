//! What servers over one database tell each other: names of what they committed, and nothing else.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sea_orm::sqlx::{self};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::super::row::RowChange;
use super::DEADLINE;
use crate::id::ChallengeId;
use crate::rng::OsEntropy;
use crate::store::Nudge;
use crate::time::{Clock as _, SystemClock};

/// Collections of which nobody is told: what is in them is read from the database whenever it is needed, and changes often.
const UNTOLD: [&str; 5] = ["deliveries", "heartbeats", "sign-ins", "gate-spent", "refusals-written"];

/// The longest payload, in bytes: PostgreSQL takes 7,999.
const LONGEST: usize = 7900;
/// How many nudges a reader may be behind.
const BEHIND: usize = 4096;
/// How long nothing was heard before the connection is tried.
const QUIET: Duration = Duration::from_secs(3);
/// How soon a lost connection is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A change as it is told.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Told {
    Question(ChallengeId),
    Document(Box<str>, Box<str>),
}

/// Where this server tells and hears.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    name: String,
    /// This server's own mark: it does not listen to itself.
    origin: String,
}

impl Channel {
    /// The channel of a schema: those of one database are apart.
    pub(super) fn of(schema: &str) -> Self {
        let [a, b, c, d, ..] = crate::canon::sha256(schema.as_bytes());
        let origin = crate::text::hex(&crate::rng::bytes::<8>(&OsEntropy));
        Self { name: format!("identree_{}", crate::text::hex(&[a, b, c, d])), origin }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is to be told of these changes: this server's mark and a list, in as many pieces as it takes.
    pub(super) fn payloads<'a>(&self, changes: impl Iterator<Item = &'a RowChange>) -> Vec<String> {
        let mut payloads: Vec<String> = Vec::new();
        for told in changes.filter_map(told) {
            let Ok(told) = serde_json::to_string(&told) else { continue };
            match payloads.last_mut().filter(|payload| payload.len() + told.len() + 2 <= LONGEST) {
                Some(payload) => {
                    payload.push(',');
                    payload.push_str(&told);
                }
                None => payloads.push(format!("{}[{told}", self.origin)),
            }
        }
        payloads.iter_mut().for_each(|payload| payload.push(']'));
        payloads
    }

    /// What another server told; nothing if it was this one. What cannot be read means that something was missed.
    fn heard(&self, payload: &str) -> Vec<Nudge> {
        let Some((origin, list)) = payload.split_at_checked(self.origin.len()) else { return vec![Nudge::Missed] };
        if origin == self.origin {
            return vec![];
        }
        let nudge = |told| match told {
            Told::Question(id) => Nudge::Question(id),
            Told::Document(collection, key) => Nudge::Document { collection, key },
        };
        serde_json::from_str::<Vec<Told>>(list)
            .map_or_else(|_| vec![Nudge::Missed], |list| list.into_iter().map(nudge).collect())
    }
}

fn told(change: &RowChange) -> Option<Told> {
    match change {
        RowChange::Open(row) | RowChange::Advance(row) => Some(Told::Question(row.record.question().id)),
        RowChange::Forget(id) => Some(Told::Question(*id)),
        RowChange::Document { key, .. } if UNTOLD.contains(&key.collection.0) => None,
        RowChange::Document { key, .. } => Some(Told::Document(key.collection.0.into(), key.key.clone())),
    }
}

/// A connection that hears.
async fn listen(options: &PgConnectOptions, channel: &Channel) -> sqlx::Result<PgListener> {
    // A pool of its own, since a listener that is gone may still hold its place in the last one.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(DEADLINE).connect_lazy_with(options.clone());
    let listening = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&channel.name).await?;
        Ok(listener)
    };
    timeout(DEADLINE, listening).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Begins to hear; tells of what others commit from now on, until the task is stopped.
pub(super) async fn start(
    options: PgConnectOptions,
    channel: Channel,
) -> sqlx::Result<(broadcast::Sender<Nudge>, tokio::task::AbortHandle)> {
    let listener = listen(&options, &channel).await?;
    let (tell, _) = broadcast::channel(BEHIND);
    let task = tokio::spawn(run(listener, options, channel, tell.clone()));
    Ok((tell, task.abort_handle()))
}

async fn run(mut listener: PgListener, options: PgConnectOptions, channel: Channel, tell: broadcast::Sender<Nudge>) {
    loop {
        hear(&mut listener, &channel, &tell).await;
        tracing::warn!("the connection that tells of other servers' commits is lost; connecting again");
        let mut pause = RETRY.0;
        listener = loop {
            match listen(&options, &channel).await {
                Ok(listener) => break listener,
                Err(error) => tracing::debug!(%error, "still not connected"),
            }
            SystemClock.sleep_until(SystemClock.now() + pause).await;
            pause = (pause * 2).min(RETRY.1);
        };
        tracing::info!("the connection that tells of other servers' commits is back");
        let _ = tell.send(Nudge::Missed); // nobody may be interested
    }
}

/// Hears until the connection is lost: the other side ends it, or says nothing although asked.
async fn hear(listener: &mut PgListener, channel: &Channel, tell: &broadcast::Sender<Nudge>) {
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                for nudge in channel.heard(notification.payload()) {
                    let _ = tell.send(nudge);
                }
            }
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::debug!(%error, "hearing"),
            Err(_) => match timeout(QUIET, sqlx::query("SELECT 1").execute(&mut *listener)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return tracing::debug!(%error, "asking whether it is still there"),
                Err(_) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Collection, DocumentKey};

    fn document(collection: &'static str, key: String) -> RowChange {
        RowChange::Document { key: DocumentKey::new(Collection(collection), key), expect: None, put: None }
    }

    #[test]
    fn what_one_tells_another_hears_in_pieces_that_fit() {
        let (one, other) = (Channel::of("public"), Channel::of("public"));
        let ids: Vec<_> = (0..=255).map(|n| ChallengeId::from_bytes([n; 16])).collect();
        let keys: Vec<_> = (0..40).map(|n| format!("{n}{}", "\u{1}ü\"".repeat(125))).collect();
        let questions = ids.iter().map(|id| RowChange::Forget(*id));
        let changes: Vec<_> = questions.chain(keys.iter().map(|key| document("hosts", key.clone()))).collect();
        let payloads = one.payloads(changes.iter());
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() <= LONGEST), "{}", payloads.len());
        let heard: Vec<_> = payloads.iter().flat_map(|payload| other.heard(payload)).collect();
        let hosts = |key: &String| Nudge::Document { collection: "hosts".into(), key: key.as_str().into() };
        let expected: Vec<_> = ids.iter().map(|id| Nudge::Question(*id)).chain(keys.iter().map(hosts)).collect();
        assert_eq!(heard, expected);
        assert!(payloads.iter().all(|payload| one.heard(payload).is_empty()), "nobody hears himself");
    }

    #[test]
    fn what_is_not_told_and_what_cannot_be_read() {
        let channel = Channel::of("public");
        let quiet: Vec<_> = UNTOLD.iter().map(|collection| document(collection, "x".into())).collect();
        assert!(channel.payloads(quiet.iter()).is_empty());
        for payload in ["", "ü", "0123456789abcdef", "0123456789abcdef{}", "0123456789abcdef[[1]]"] {
            assert_eq!(channel.heard(payload), [Nudge::Missed], "{payload}");
        }
        assert_ne!(Channel::of("public").name(), Channel::of("other").name());
    }
}
