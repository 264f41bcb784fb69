//! What other servers over the same store change, as far as it is kept in memory here: sessions, people, the host registry.
//! Questions are the engine's own business.

use std::sync::Arc;

use identree_core::store::{Nudge, StoreError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::hosts::{self, Hosts};
use crate::login::{PEOPLE, People};
use crate::session::{SESSIONS, Sessions};

/// What is kept in memory.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) sessions: Sessions,
    pub(crate) people: Arc<People>,
    pub(crate) hosts: Hosts,
}

impl Kept {
    /// Follows until the store tells no more; at once where nobody else is over it. The receiver is older than what was read
    /// at the start, so that nothing falls between.
    pub(crate) async fn follow(self, nudges: Option<broadcast::Receiver<Nudge>>) {
        let Some(mut nudges) = nudges else { return };
        loop {
            let done = match nudges.recv().await {
                Ok(Nudge::Document { collection, key }) => self.changed(&collection, &key).await,
                Ok(Nudge::Question(_)) => Ok(()),
                Ok(Nudge::Missed) | Err(RecvError::Lagged(_)) => self.missed().await,
                Err(RecvError::Closed) => return,
            };
            // The registry is read every second in any case, sessions are read anew, and people come with their next sign-in or
            // when the store answers again, which is told as a loss.
            if let Err(error) = done {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what another server changed could not be read yet"
                );
            }
        }
    }

    async fn changed(&self, collection: &str, key: &str) -> Result<(), StoreError> {
        if collection == SESSIONS.0 {
            self.sessions.changed_elsewhere(key).await;
            Ok(())
        } else if collection == PEOPLE.0 {
            self.people.read(key).await
        } else if collection == hosts::CHANGES.0 {
            self.hosts.refresh().await
        } else {
            Ok(())
        }
    }

    async fn missed(&self) -> Result<(), StoreError> {
        self.sessions.missed();
        self.people.read_all().await?;
        self.hosts.refresh().await
    }
}

#[cfg(test)]
mod tests {
    use identree_core::actor::Whence;
    use identree_core::credential::MasterSecret;
    use identree_core::directory::Directory as _;
    use identree_core::id::{GroupName, HostName, UserName};
    use identree_core::rng::SeededEntropy;
    use identree_core::store::{Batch, Store as _};
    use identree_core::testkit::shared::{Handle, Shared};
    use identree_core::time::{Clock as _, ManualClock};

    use super::*;
    use crate::login::Identity;
    use crate::parts::Parts;

    struct Server {
        handle: Handle,
        clock: ManualClock,
        sessions: Sessions,
        people: Arc<People>,
        hosts: Hosts,
    }

    async fn server(shared: &Shared, clock: &ManualClock, seed: u64) -> Server {
        let handle = shared.handle();
        let nudges = handle.nudges();
        let parts = Parts {
            store: Arc::new(handle.clone()),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let master = MasterSecret::parse("the master secret of this very test").unwrap();
        let sessions = Sessions::new(parts.clone());
        let people = Arc::new(People::load(parts.clone()).await.unwrap());
        let hosts = Hosts::load(parts, master).await.unwrap();
        let kept = Kept { sessions: sessions.clone(), people: Arc::clone(&people), hosts: hosts.clone() };
        tokio::spawn(kept.follow(nudges));
        Server { handle, clock: clock.clone(), sessions, people, hosts }
    }

    impl Server {
        async fn begin(&self) -> String {
            let ann = UserName::parse("ann").unwrap();
            let (token, change) = self.sessions.begin(ann, self.clock.now()).unwrap();
            self.handle.commit(Batch::unrecorded(vec![change])).await.unwrap();
            token.reveal().to_owned()
        }
    }

    #[tokio::test]
    async fn a_session_that_ends_on_one_server_is_over_on_all_at_once() {
        let clock = ManualClock::default();
        let shared = Shared::new(clock.clone());
        let (one, other) = (server(&shared, &clock, 1).await, server(&shared, &clock, 2).await);
        let cookie = one.begin().await;
        let mut ends = other.sessions.follow_ends();
        let there = other.sessions.find(&cookie).await.unwrap().expect("signed in on one is signed in on all");
        let here = one.sessions.find(&cookie).await.unwrap().unwrap();
        one.sessions.end(&here, crate::session::End::SignedOut).await.unwrap();
        assert!(there.was(&ends.recv().await.unwrap()), "open pages are told");
        assert!(other.sessions.find(&cookie).await.unwrap().is_none(), "although it was read a moment ago");

        // The same when the way was cut meanwhile.
        let cookie = one.begin().await;
        let here = one.sessions.find(&cookie).await.unwrap().unwrap();
        assert!(other.sessions.find(&cookie).await.unwrap().is_some());
        other.handle.cut();
        one.sessions.end(&here, crate::session::End::SignedOut).await.unwrap();
        other.handle.mend();
        while other.sessions.find(&cookie).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn people_and_hosts_are_known_on_all_servers() {
        let clock = ManualClock::default();
        let shared = Shared::new(clock.clone());
        let (one, other) = (server(&shared, &clock, 1).await, server(&shared, &clock, 2).await);
        let admins = GroupName::parse("admins").unwrap();
        let mut changes = other.people.changes();
        let identity = Identity {
            issuer: "https://idp.example".into(),
            subject: "1".into(),
            username: Some("ada".into()),
            groups: vec![admins.clone()],
            auth_time: None,
        };
        let (name, batch, person) = one.people.link(&identity, &Whence::default()).await.unwrap().into_parts();
        one.handle.commit(batch).await.unwrap();
        one.people.committed(person);
        changes.changed().await.unwrap();
        assert!(other.people.snapshot().is_member(&name, &[admins], clock.now()));

        let web1 = HostName::parse("web1").unwrap();
        one.hosts.add(&web1, None, None, None).await.unwrap();
        while other.hosts.find(&web1).is_none() {
            tokio::task::yield_now().await; // no time passes: it is not the look every second
        }
    }
}
