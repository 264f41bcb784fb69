//! One stream: a position in the ring, and the right to be there, looked at again before each word.

use axum::body::Bytes;
use identree_core::Engine;
use tokio::sync::watch;

use super::entry::{Entry, QuestionEvent, frame};
use super::hub::{Place, Pulse};
use super::ring::At;
use crate::layer::sign_in::SignedIn;
use crate::session::Sessions;
use crate::web::Web;
use crate::web::text::Language;
use crate::web::view::Side;

/// How soon a browser tries again, in ms.
const RETRY_MS: u32 = 2000;

/// What one connected page is told.
pub(super) struct EventStream {
    engine: Engine,
    sessions: Sessions,
    person: Box<SignedIn>,
    language: Language,
    place: Place,
    pulse: watch::Receiver<Pulse>,
    /// The last beat that was answered.
    beat: u64,
    /// The number of the next event.
    next: u64,
    /// Whether the page was told as an administrator's so far.
    admin: bool,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Going,
    Over,
}

impl EventStream {
    /// From after this id on.
    pub(super) fn new(web: &Web, person: SignedIn, language: Language, after: Option<&str>, place: Place) -> Self {
        let pulse = place.hub().pulse();
        let beat = pulse.borrow().beat;
        Self {
            admin: web.engine.is_admin(&person.actor),
            next: place.hub().resume(after),
            engine: web.engine.clone(),
            sessions: web.events.sessions.clone(),
            person: Box::new(person),
            stage: Stage::Begin,
            language,
            place,
            pulse,
            beat,
        }
    }

    /// What to send next; `None` when the stream is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Begin => {
                self.stage = Stage::Going;
                return Some(self.hello());
            }
            Stage::Going => {}
            Stage::Over => return None,
        }
        loop {
            let pulse = *self.pulse.borrow_and_update();
            if pulse.stopped {
                return None;
            }
            if self.engine.is_disabled(&self.person.actor) {
                return Some(self.signed_out());
            }
            let admin = self.engine.is_admin(&self.person.actor);
            if admin != self.admin {
                self.admin = admin;
                return Some(self.reset());
            }
            if pulse.beat != self.beat {
                self.beat = pulse.beat;
                return Some(self.alive().await);
            }
            match self.place.hub().at(self.next) {
                At::Gone(_) => return Some(self.reset()),
                At::Here(entry) => {
                    self.next += 1;
                    match entry {
                        Entry::Ended(ended) if self.person.session.was(&ended) => return Some(self.signed_out()),
                        Entry::Ended(_) => {}
                        Entry::Question(event) => {
                            if let Some(bytes) = self.tell(&event) {
                                return Some(bytes);
                            }
                        }
                    }
                }
                At::NotYet => {
                    if self.pulse.changed().await.is_err() {
                        return None;
                    }
                }
            }
        }
    }

    fn hello(&self) -> Bytes {
        let id = self.place.hub().id(self.next.saturating_sub(1));
        format!("retry: {RETRY_MS}\nid: {id}\nevent: hello\ndata: {{}}\n\n").into()
    }

    fn tell(&self, event: &QuestionEvent) -> Option<Bytes> {
        let side = if event.requester() == self.person.actor.name() {
            Side::Requester
        } else if self.admin {
            Side::Approver
        } else {
            return None;
        };
        Some(event.bytes(side, self.language, self.engine.clock().now()))
    }

    /// Everything that this page knows may be wrong. What comes next is told from now on.
    fn reset(&mut self) -> Bytes {
        let position = self.place.hub().position();
        self.next = self.place.hub().resume(Some(&position));
        frame(&position, "reset", "{}")
    }

    /// A stream is no sign of a person: it ends when their session does.
    async fn alive(&mut self) -> Bytes {
        match self.sessions.lives(&self.person.session).await {
            Ok(true) => Bytes::from_static(b"event: alive\ndata: {}\n\n"),
            Ok(false) => self.signed_out(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a stream ends: its session cannot be read");
                self.stage = Stage::Over;
                Bytes::from_static(b": later\n\n")
            }
        }
    }

    fn signed_out(&mut self) -> Bytes {
        self.stage = Stage::Over;
        Bytes::from_static(b"event: signed_out\ndata: {}\n\n")
    }
}
