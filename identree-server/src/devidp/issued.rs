//! Codes and access tokens that are still good for something.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identree_core::rng::{Entropy, bytes};
use identree_core::time::Timestamp;

/// How long a code may be redeemed.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(60);
/// How long an access token and an ID token are valid.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(300);
/// More than any developer's click rate; the oldest make room.
const MOST: usize = 1024;

/// Which person signed in, and what the code is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) person: usize,
    pub(super) auth_time: Timestamp,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: String,
    pub(super) nonce: Option<String>,
}

/// Everything handed out. Both kinds are 256 random bits, base64url.
#[derive(Default)]
pub(super) struct Issued {
    codes: Mutex<Expiring<Code>>,
    tokens: Mutex<Expiring<usize>>,
}

impl Issued {
    /// A new code, valid for [`CODE_LIFE`].
    pub(super) fn code(&self, code: Code, entropy: &dyn Entropy, now: Timestamp) -> String {
        lock(&self.codes).add(code, entropy, (now, now + CODE_LIFE))
    }

    /// Takes a code back: whatever becomes of the request, it works once.
    pub(super) fn redeem(&self, code: &str, now: Timestamp) -> Option<Code> {
        lock(&self.codes).0.remove(code).filter(|(until, _)| now < *until).map(|(_, code)| code)
    }

    /// A new access token for a person, valid for [`TOKEN_LIFE`].
    pub(super) fn token(&self, person: usize, entropy: &dyn Entropy, now: Timestamp) -> String {
        lock(&self.tokens).add(person, entropy, (now, now + TOKEN_LIFE))
    }

    /// Whose access token it is.
    pub(super) fn person(&self, token: &str, now: Timestamp) -> Option<usize> {
        lock(&self.tokens).0.get(token).filter(|(until, _)| now < *until).map(|(_, person)| *person)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued(…)")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Expiring<T>(HashMap<String, (Timestamp, T)>);

impl<T> Default for Expiring<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Expiring<T> {
    fn add(&mut self, value: T, entropy: &dyn Entropy, (now, until): (Timestamp, Timestamp)) -> String {
        self.0.retain(|_, (until, _)| now < *until);
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone())
        {
            self.0.remove(&oldest);
        }
        let name = URL_SAFE_NO_PAD.encode(bytes::<32>(entropy));
        self.0.insert(name.clone(), (until, value));
        name
    }
}
