//! How many requests of one host may rest here at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use identree_core::id::HostName;

/// More than one host has people; each waiting request costs a connection and memory.
const MOST: u32 = 1000;

/// The waiting requests by host. Cheap to clone; every clone counts together.
#[derive(Debug, Clone)]
pub struct Waits {
    most: u32,
    held: Arc<Mutex<HashMap<HostName, u32>>>,
}

impl Default for Waits {
    /// At most 1,000 of each host.
    fn default() -> Self {
        Self::at_most(MOST)
    }
}

impl Waits {
    /// At most so many of each host.
    pub fn at_most(most: u32) -> Self {
        Self { most, held: Arc::default() }
    }

    /// One more of this host, until the result is dropped; none if there are as many as there may be.
    pub(super) fn hold(&self, host: &HostName) -> Option<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(host.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Held { host: host.clone(), held: Arc::clone(&self.held) })
    }
}

/// A request that rests.
pub(super) struct Held {
    host: HostName,
    held: Arc<Mutex<HashMap<HostName, u32>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.host);
            }
        }
    }
}
