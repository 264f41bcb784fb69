//! Browser sessions: random ids, kept only as hashes, idle 30 minutes, at most 8 hours, revocable at once: each request is
//! held against the record in the store, or against what was read of it within the last second and not ended since.

mod known;
#[cfg(test)]
mod tests;

use std::time::Duration;

use identree_core::actor::{Actor, Strength, Whence};
use identree_core::audit::EventKind;
use identree_core::canon::sha256;
use identree_core::id::UserName;
use identree_core::rng::bytes;
use identree_core::secret::Secret;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use identree_core::text::{hex, unhex};
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use self::known::{Ending, Known, Seen};
use crate::parts::Parts;

/// Where they are kept.
pub(crate) const SESSIONS: Collection = Collection("web-sessions");

/// A session ends after this long without a request.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// A session ends this long after sign-in, whatever happens.
pub const ABSOLUTE: Duration = Duration::from_secs(8 * 60 * 60);
/// How often at most the idle timer is written down.
const TOUCH: Duration = Duration::from_secs(60);

/// How an [`Actor`] of a browser session came in.
pub const BY: &str = "openid-connect";

/// What the cookie holds: 256 random bits as hexadecimal digits. Only its hash is stored.
#[derive(Debug, Clone)]
pub struct SessionToken(Secret<String>);

impl SessionToken {
    fn parse(text: &str) -> Option<Self> {
        let mut raw = [0; 32];
        unhex(text, &mut raw).then(|| Self(Secret::new(text.to_owned())))
    }

    /// The cookie's value.
    pub fn reveal(&self) -> &str {
        self.0.expose()
    }

    fn key(&self) -> DocumentKey {
        DocumentKey::new(SESSIONS, hex(&sha256(self.0.expose().as_bytes())))
    }

    fn csrf(&self) -> CsrfToken {
        CsrfToken(Secret::new(hex(&sha256(format!("identree csrf v1 {}", self.0.expose()).as_bytes()))))
    }
}

/// The token that every form of a session carries. Derived from the session's id, so the store cannot tell it.
#[derive(Debug, Clone)]
pub struct CsrfToken(Secret<String>);

impl CsrfToken {
    /// The text for the form field `csrf_token`.
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }

    /// Whether a form carries this token, in constant time.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text.as_bytes())
    }
}

/// A living session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The person, proven when they signed in at the identity provider.
    pub actor: Actor,
    /// What their forms must carry.
    pub csrf: CsrfToken,
    key: DocumentKey,
    revision: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    user: UserName,
    proven_at: Timestamp,
    created_at: Timestamp,
    seen_at: Timestamp,
}

impl Stored {
    fn ends(&self) -> Timestamp {
        (self.seen_at + IDLE).min(self.created_at + ABSOLUTE)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends() || self.seen_at.is_from_the_future(now)
    }

    fn put(&self) -> Result<Put, StoreError> {
        let bytes = serde_json::to_vec(self).map_err(corrupt)?;
        Ok(Put { bytes, expires_at: Some(self.ends()) })
    }
}

fn corrupt(source: serde_json::Error) -> StoreError {
    StoreError::Corrupt { table: "web-sessions", source: Box::new(source) }
}

/// Who made a request.
#[derive(Debug, Clone, Copy)]
enum Activity {
    Person,
    Page,
}

/// How many ends whoever follows them may be behind before they are told that they missed some.
const FOLLOW: usize = 256;

/// The end of one session, before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended(DocumentKey);

/// Why a session ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The person signed out.
    SignedOut,
    /// The same browser signed in anew.
    Replaced,
}

impl Session {
    /// The same session, used by a request from there: events tell it.
    #[must_use]
    pub fn used_from(self, whence: Whence) -> Self {
        Self { actor: self.actor.calling_from(whence), ..self }
    }

    /// Whether it was this one.
    pub fn was(&self, ended: &Ended) -> bool {
        self.key == ended.0
    }
}

/// All browser sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    parts: Parts,
    known: Known,
    ended: broadcast::Sender<Ended>,
}

impl Sessions {
    /// Over the store of the parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts, known: Known::default(), ended: broadcast::Sender::new(FOLLOW) }
    }

    /// Each session that is ended here from now on, by signing out or by signing in anew.
    pub fn follow_ends(&self) -> broadcast::Receiver<Ended> {
        self.ended.subscribe()
    }

    /// A new session of a person who proved themselves at `proven_at`: its token, and the change to commit together with
    /// the event of the sign-in.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the record cannot be written down.
    pub fn begin(&self, user: UserName, proven_at: Timestamp) -> Result<(SessionToken, Change), StoreError> {
        let now = self.parts.now();
        let token = SessionToken(Secret::new(hex(&bytes::<32>(&*self.parts.entropy))));
        let stored = Stored { user, proven_at, created_at: now, seen_at: now };
        let change = Change::Document { key: token.key(), expect: None, put: Some(stored.put()?) };
        Ok((token, change))
    }

    /// The living session of a cookie's value; counts as activity.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told; callers treat the visitor as signed out.
    pub async fn find(&self, cookie: &str) -> Result<Option<Session>, StoreError> {
        self.look_up(cookie, Activity::Person).await
    }

    /// As [`find`](Self::find), for a request that an open page makes by itself: it keeps no session alive.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn peek(&self, cookie: &str) -> Result<Option<Session>, StoreError> {
        self.look_up(cookie, Activity::Page).await
    }

    async fn look_up(&self, cookie: &str, activity: Activity) -> Result<Option<Session>, StoreError> {
        let Some(token) = SessionToken::parse(cookie) else {
            return Ok(None);
        };
        let (key, now) = (token.key(), self.parts.now());
        let mut again = false;
        loop {
            let (mark, known) = self.known.look(&key, now);
            let seen = match known.filter(|_| !again) {
                Some(seen) => seen,
                None => match self.read(&key, now).await? {
                    Some(seen) => seen,
                    None => return Ok(None),
                },
            };
            let Seen { mut stored, mut revision, read_at } = seen;
            if stored.is_over(now) {
                return Ok(None);
            }
            if matches!(activity, Activity::Person) && now.since(stored.seen_at) >= TOUCH {
                stored.seen_at = now;
                let change = Change::Document { key: key.clone(), expect: Some(revision), put: Some(stored.put()?) };
                match self.parts.store.commit(Batch::unrecorded(vec![change])).await {
                    Ok(()) => revision += 1,
                    // Another request of this session was faster, or the session was ended: look again which.
                    Err(StoreError::Conflict) => {
                        again = true;
                        continue;
                    }
                    // The session is alive as read; on a full disk people still see what stands.
                    Err(StoreError::Unavailable(error)) => {
                        tracing::warn!(
                            error = &*error as &dyn std::error::Error,
                            "a session's last use could not be noted"
                        );
                    }
                    Err(other) => return Err(other),
                }
            }
            let actor = Actor::vouched(BY, stored.user.clone(), stored.proven_at, Strength::SignedIn);
            self.known.keep(mark, &key, Seen { stored, revision, read_at });
            return Ok(Some(Session { actor, csrf: token.csrf(), key, revision }));
        }
    }

    async fn read(&self, key: &DocumentKey, now: Timestamp) -> Result<Option<Seen>, StoreError> {
        let Some(document) = self.parts.store.document(key, now).await? else {
            return Ok(None);
        };
        let stored = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
        Ok(Some(Seen { stored, revision: document.revision, read_at: now }))
    }

    /// Whether a session that was found before still lives; keeps none alive.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be told; callers treat the visitor as signed out.
    pub async fn lives(&self, session: &Session) -> Result<bool, StoreError> {
        let now = self.parts.now();
        let Some(document) = self.parts.store.document(&session.key, now).await? else {
            return Ok(false);
        };
        let stored: Stored = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
        Ok(now < stored.ends())
    }

    /// Ends a session, for good and everywhere.
    ///
    /// # Errors
    /// [`StoreError`] if it may still live.
    pub async fn end(&self, session: &Session, why: End) -> Result<(), StoreError> {
        let ending = Ending { known: &self.known, key: &session.key };
        self.write_end(session, why).await?;
        drop(ending);
        let _ = self.ended.send(Ended(session.key.clone())); // Err: nobody follows
        Ok(())
    }

    /// Another server over the same store has begun, touched or ended this session: it is read anew, and whoever follows it is
    /// told if it is over.
    pub(crate) async fn changed_elsewhere(&self, key: &str) {
        let key = DocumentKey::new(SESSIONS, key);
        self.known.forget(&key);
        // What cannot be read is asked again by the next request, and by each stream within its beat.
        if let Ok(None) = self.parts.store.document(&key, self.parts.now()).await {
            let _ = self.ended.send(Ended(key)); // Err: nobody follows
        }
    }

    /// Anything may have changed elsewhere.
    pub(crate) fn missed(&self) {
        self.known.forget_all();
    }

    async fn write_end(&self, session: &Session, why: End) -> Result<(), StoreError> {
        let mut revision = session.revision;
        loop {
            let change = Change::Document { key: session.key.clone(), expect: Some(revision), put: None };
            let event = match why {
                End::SignedOut => self.parts.event(EventKind::SignedOut),
                End::Replaced => self.parts.event(EventKind::SessionEnded).with("why", "replaced"),
            };
            let mut event = event.by(&session.actor);
            event.subject = Some(session.actor.name().clone());
            match self.parts.store.commit(Batch::of(change, event)).await {
                // Touched by another request since it was read: end what is there now.
                Err(StoreError::Conflict) => match self.parts.store.document(&session.key, self.parts.now()).await? {
                    Some(document) => revision = document.revision,
                    None => return Ok(()),
                },
                other => return other,
            }
        }
    }
}
