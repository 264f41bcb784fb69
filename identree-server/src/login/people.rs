//! People known from verified claims: linked once by (issuer, subject), their groups believed for a quarter of an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use identree_core::actor::Whence;
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::canon::{Writer, sha256};
use identree_core::directory::{Directory, DirectoryError, Person, Snapshot};
use identree_core::id::{GroupName, NameError, UserName};
use identree_core::policy::Revision;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Page, Put, StoreError};
use identree_core::text::hex;
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::provider::Identity;
use crate::parts::Parts;

/// By (issuer, subject): who they are here.
pub(crate) const PEOPLE: Collection = Collection("people");
/// By user name: whose it is.
const NAMES: Collection = Collection("people-names");

/// How long groups that came as claims are believed.
pub const GROUPS_LIVE: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    issuer: String,
    subject: String,
    name: UserName,
    groups: Vec<GroupName>,
    groups_as_of: Timestamp,
    linked_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    person: String,
}

/// Why somebody who signed in at the provider is nobody here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The provider gave no user name.
    #[error("the identity provider gave no preferred_username; let it send the claim in the scope profile")]
    NoName,
    /// The claimed name is none.
    #[error("the claimed user name cannot be used: {0}")]
    Name(#[from] NameError),
    /// The name belongs to another person of the provider.
    #[error("the user name {0} belongs to another person already; an administrator must decide")]
    Taken(UserName),
    /// The store failed.
    #[error("the sign-in could not be written down")]
    Store(#[from] StoreError),
}

/// The people, and the directory made of them.
#[derive(Debug)]
pub struct People {
    parts: Parts,
    known: Mutex<HashMap<UserName, Person>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changes: watch::Sender<Revision>,
}

/// What the sign-in of a person changes: to be committed together with their session.
#[derive(Debug)]
pub struct Linked {
    /// Who they are here.
    pub name: UserName,
    /// The changes.
    pub batch: Batch,
    person: Person,
}

impl People {
    /// Reads everybody who has signed in before.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn load(parts: Parts) -> Result<Self, StoreError> {
        let people = Self {
            parts,
            known: Mutex::default(),
            snapshot: watch::Sender::new(Arc::default()),
            changes: watch::Sender::new(Revision::default()),
        };
        people.read_all().await?;
        Ok(people)
    }

    /// Reads everybody: anything may have changed elsewhere.
    pub(crate) async fn read_all(&self) -> Result<(), StoreError> {
        let mut page = Page::first(1000);
        loop {
            let paged = self.parts.store.documents(PEOPLE, self.parts.now(), page).await?;
            for document in paged.items {
                let stored: Stored = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
                self.know(person(&stored, self.parts.now()));
            }
            match paged.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        self.publish();
        Ok(())
    }

    /// Reads one person, who has signed in on another server over the same store.
    pub(crate) async fn read(&self, key: &str) -> Result<(), StoreError> {
        let found = self.parts.store.document(&DocumentKey::new(PEOPLE, key), self.parts.now()).await?;
        if let Some(document) = found {
            let stored: Stored = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
            self.committed(person(&stored, self.parts.now()));
        }
        Ok(())
    }

    /// Who the proven identity is here. The first sign-in links; later ones must be the same person, whatever name they
    /// claim by then.
    ///
    /// # Errors
    /// [`LinkError`]; a refusal is written to the journal.
    pub async fn link(&self, identity: &Identity, whence: &Whence) -> Result<Linked, LinkError> {
        let now = self.parts.now();
        let at = key(identity);
        let person_key = DocumentKey::new(PEOPLE, at.clone());
        let known = self.parts.store.document(&person_key, now).await?;
        let groups = identity.groups.clone();
        if let Some(document) = known {
            let stored: Stored = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
            let stored = Stored { groups, groups_as_of: now, ..stored };
            let put = Put { bytes: serde_json::to_vec(&stored).map_err(corrupt)?, expires_at: None };
            let change = Change::Document { key: person_key, expect: Some(document.revision), put: Some(put) };
            let batch = Batch::unrecorded(vec![change]);
            return Ok(Linked { name: stored.name.clone(), batch, person: person(&stored, now) });
        }
        let name = UserName::parse(identity.username.as_deref().ok_or(LinkError::NoName)?)?;
        let name_key = DocumentKey::new(NAMES, name.as_str());
        if self.parts.store.document(&name_key, now).await?.is_some() {
            let event = self.about(EventKind::PersonLinkRefused, &name, identity).from(whence);
            self.parts.store.commit(Batch::event(event)).await?;
            return Err(LinkError::Taken(name));
        }
        let stored = Stored {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            name: name.clone(),
            groups,
            groups_as_of: now,
            linked_at: now,
        };
        let put = |bytes| Some(Put { bytes, expires_at: None });
        let owner = serde_json::to_vec(&Owner { person: at }).map_err(corrupt)?;
        let bytes = serde_json::to_vec(&stored).map_err(corrupt)?;
        let event = self.about(EventKind::PersonLinked, &name, identity).from(whence);
        let batch = Batch::of(Change::Document { key: person_key, expect: None, put: put(bytes) }, event)
            .and(Change::Document { key: name_key, expect: None, put: put(owner) }, None);
        Ok(Linked { name, batch, person: person(&stored, now) })
    }

    /// Makes a committed sign-in known to the directory.
    pub fn committed(&self, person: Person) {
        self.know(person);
        self.publish();
    }

    fn know(&self, person: Person) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(person.name.clone(), person);
    }

    fn publish(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = Revision(self.parts.now().to_string().into());
        self.snapshot.send_replace(Arc::new(Snapshot::new(revision.clone(), known.values().cloned())));
        drop(known);
        self.changes.send_replace(revision);
    }

    fn about(&self, kind: EventKind, name: &UserName, identity: &Identity) -> AuditEvent {
        AuditEvent { subject: Some(name.clone()), ..self.parts.event(kind) }
            .with("issuer", identity.issuer.clone())
            .with("sub", identity.subject.clone())
    }
}

impl Linked {
    /// Splits into who, what to commit, and what to tell [`People::committed`] afterwards.
    pub fn into_parts(self) -> (UserName, Batch, Person) {
        (self.name, self.batch, self.person)
    }
}

fn person(stored: &Stored, now: Timestamp) -> Person {
    let aged_out = stored.groups_as_of.is_from_the_future(now);
    Person {
        name: stored.name.clone(),
        groups: stored.groups.clone(),
        groups_until: if aged_out { now } else { stored.groups_as_of + GROUPS_LIVE },
        disabled: false,
    }
}

fn key(identity: &Identity) -> String {
    let mut writer = Writer::new(b"identree person v1");
    writer.put_text(&identity.issuer);
    writer.put_text(&identity.subject);
    hex(&sha256(&writer.finish()))
}

fn corrupt(source: serde_json::Error) -> StoreError {
    StoreError::Corrupt { table: "people", source: Box::new(source) }
}

#[async_trait]
impl Directory for People {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    fn changes(&self) -> watch::Receiver<Revision> {
        self.changes.subscribe()
    }

    /// Claims come with each sign-in; there is nothing to fetch.
    async fn refresh(&self) -> Result<Arc<Snapshot>, DirectoryError> {
        Ok(self.snapshot())
    }
}

#[cfg(test)]
mod tests {
    use identree_core::rng::SeededEntropy;
    use identree_core::store::MemoryStore;
    use identree_core::testkit::journal::recorded;
    use identree_core::time::{Clock as _, ManualClock};

    use super::*;

    fn identity(subject: &str, name: &str) -> Identity {
        Identity {
            issuer: "https://idp.example".into(),
            subject: subject.into(),
            username: Some(name.into()),
            groups: vec![GroupName::parse("admins").unwrap()],
            auth_time: None,
        }
    }

    async fn sign_in(people: &People, identity: &Identity) -> Result<UserName, LinkError> {
        let (name, batch, person) = people.link(identity, &Whence::default()).await?.into_parts();
        people.parts.store.commit(batch).await?;
        people.committed(person);
        Ok(name)
    }

    async fn known() -> (People, Person) {
        let parts = Parts {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let people = People::load(parts).await.unwrap();
        let ann = sign_in(&people, &identity("1", "ann")).await.unwrap();
        let person = people.snapshot().person(&ann).unwrap().clone();
        (people, person)
    }

    identree_core::directory_suite!(suite, known());

    #[tokio::test]
    async fn a_person_is_issuer_and_subject_and_never_a_name() {
        let clock = ManualClock::default();
        let parts = Parts {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let people = People::load(parts.clone()).await.unwrap();
        let ann = sign_in(&people, &identity("1", "ann")).await.unwrap();
        assert!(matches!(sign_in(&people, &identity("2", "ann")).await, Err(LinkError::Taken(_))));
        assert_eq!(sign_in(&people, &identity("1", "root")).await.unwrap(), ann, "a changed claim changes nobody");
        assert!(sign_in(&people, &identity("3", "Ann")).await.is_ok(), "case counts");
        let kinds: Vec<_> = recorded(&*parts.store).await.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [EventKind::PersonLinked, EventKind::PersonLinkRefused, EventKind::PersonLinked]);

        let admins = [GroupName::parse("admins").unwrap()];
        let again = People::load(parts).await.unwrap();
        assert!(again.snapshot().is_member(&ann, &admins, clock.now()));
        clock.advance(GROUPS_LIVE);
        assert!(!again.snapshot().is_member(&ann, &admins, clock.now()), "claims age out");

        // Written by a clock that has gone back since: nobody can say how old they are.
        clock.set(clock.now() - 2 * GROUPS_LIVE);
        let again = People::load(again.parts).await.unwrap();
        assert!(!again.snapshot().is_member(&ann, &admins, clock.now()));
    }
}
