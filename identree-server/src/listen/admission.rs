//! Who may hold a connection: so many in all, and so many of one address that have proven nobody.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use identree_core::actor::Whence;

use crate::layer::client_ip::{ClientAddress, TrustedProxies};
use crate::refusals::{Refusal, Refusals};

/// How long a client may take, and how many connections there may be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until the head of a request is complete, and how long a connection may rest between two.
    pub head: Duration,
    /// Until a TLS handshake is complete.
    pub handshake: Duration,
    /// How long a client may leave what it is sent unread.
    pub write: Duration,
    /// The most connections in all.
    pub connections: usize,
    /// The most connections of one address (IPv6: /64) that have proven neither a host nor a session.
    pub unproven_per_address: usize,
    /// Addresses that stand for many clients: that cap does not hold for them.
    pub exempt: TrustedProxies,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            write: Duration::from_secs(30),
            connections: 65_536,
            unproven_per_address: 512,
            exempt: TrustedProxies::default(),
        }
    }
}

impl Limits {
    /// As many connections as this process may have descriptors, less those that the database and the provider need.
    #[must_use]
    pub fn within_descriptors(mut self) -> Self {
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.connections = most - (most / 2).min(256);
        }
        self
    }
}

/// Lets this process have as many descriptors as it may ever have: a service manager's soft limit is often 1024.
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the limit of open files could not be raised");
    }
}

/// What stands at the door of all listeners together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<Door>);

#[derive(Debug, Default)]
struct Door {
    limits: Arc<Limits>,
    open: AtomicUsize,
    unproven: Mutex<HashMap<IpAddr, usize>>,
    told_full: AtomicBool,
    refusals: Option<Refusals>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Admission {
    /// With these limits, and nobody inside.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Door { limits: Arc::new(limits), ..Door::default() }))
    }

    /// The same, and who is not let in is recorded.
    pub fn recording(limits: Limits, refusals: Refusals) -> Self {
        Self(Arc::new(Door { limits: Arc::new(limits), refusals: Some(refusals), ..Door::default() }))
    }

    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.0.limits
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(super) fn admit(&self, peer: IpAddr) -> Result<Standing, Full> {
        let door = &self.0;
        // Counted first and given back by the drop, so that two at once never both take the last place.
        let open = door.open.fetch_add(1, Ordering::Relaxed);
        let mut place = Place { door: Arc::clone(door), address: None, unproven: AtomicBool::new(false) };
        if open >= door.limits.connections {
            if !door.told_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(connections = open, "no more connections are taken until some end");
            }
            door.refuse("connections", peer);
            return Err(Full);
        }
        if open < door.limits.connections / 10 * 9 {
            door.told_full.store(false, Ordering::Relaxed);
        }
        if !door.limits.exempt.contains(peer) {
            let address = ClientAddress(peer.to_canonical()).network();
            let mut unproven = door.unproven.lock().unwrap_or_else(PoisonError::into_inner);
            let count = unproven.entry(address).or_default();
            if *count >= door.limits.unproven_per_address {
                door.refuse("address_connections", peer);
                return Err(Full);
            }
            *count += 1;
            if *count == door.limits.unproven_per_address {
                tracing::warn!(%address, "has as many unproven connections as one address may have");
            }
            drop(unproven);
            place.address = Some(address);
            place.unproven = AtomicBool::new(true);
        }
        Ok(Standing(Arc::new(place)))
    }
}

impl Door {
    fn refuse(&self, limit: &'static str, peer: IpAddr) {
        metrics::counter!("identree_rate_limit_rejections_total", "limit" => limit).increment(1);
        if let Some(refusals) = &self.refusals {
            let whence = Whence { address: Some(peer.to_canonical()), ..Whence::default() };
            refusals.note(Refusal::limited(limit).from(whence));
        }
    }
}

/// What is known of a connection, in the extensions of each of its requests.
#[derive(Debug, Clone)]
pub struct Standing(Arc<Place>);

#[derive(Debug)]
struct Place {
    door: Arc<Door>,
    address: Option<IpAddr>,
    unproven: AtomicBool,
}

impl Standing {
    /// A host or a session was proven on this connection: it no longer counts for its address.
    pub fn prove(&self) {
        self.0.prove();
    }
}

impl Place {
    fn prove(&self) {
        let Some(address) = self.address.filter(|_| self.unproven.swap(false, Ordering::Relaxed)) else { return };
        let mut unproven = self.door.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = unproven.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                unproven.remove(&address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.prove();
        self.door.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, unproven_per_address: usize) -> Admission {
        let exempt = TrustedProxies::parse(["10.0.0.1"]).unwrap();
        Admission::new(Limits { connections, unproven_per_address, exempt, ..Limits::default() })
    }

    #[test]
    fn who_proves_something_no_longer_counts_for_the_address() {
        let door = admission(100, 2);
        let admit = |peer: &str| door.admit(peer.parse().unwrap());
        let (one, two) = (admit("192.0.2.1").unwrap(), admit("::ffff:192.0.2.1").unwrap());
        assert!(admit("192.0.2.1").is_err());
        let other = admit("192.0.2.2").unwrap();
        one.prove();
        one.prove();
        let three = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_err());
        drop(two);
        let four = admit("192.0.2.1").unwrap();
        let many: Vec<_> = (0..50).map(|_| admit("10.0.0.1").unwrap()).collect();
        assert_eq!(door.open(), 54);
        drop((one, three, four, other, many));
        assert_eq!((door.open(), door.0.unproven.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn nobody_is_admitted_beyond_the_most() {
        let door = admission(10, 100);
        let admitted: Vec<_> = (0..50).filter_map(|_| door.admit("192.0.2.1".parse().unwrap()).ok()).collect();
        assert_eq!((admitted.len(), door.open()), (10, 10));
    }
}
