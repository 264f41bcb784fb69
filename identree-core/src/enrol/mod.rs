//! Enrolment: how a host makes its own key known to a server, and learns whose answers count, with one token.
//!
//! The token never travels. Host and server prove to each other that they know it: the host by a MAC (HMAC-SHA256, RFC 2104)
//! over its request, with a signature of the new key inside; the server by a MAC over its answer, which names the request it
//! answers. So whoever stands between them, TLS or not, can neither enrol a key of their own nor plant decision keys.

mod exchange;
mod renew;
mod token;

pub use self::exchange::{EnrolReply, EnrolRequest, Enrolment};
pub use self::renew::{KeyRequest, KeysReply};
pub use self::token::{Token, TokenError};
pub use crate::id::TokenId;

/// Where a host enrols.
pub const PATH: &str = "/api/enroll";

/// Where a host replaces its key, under its old one.
pub const KEY_PATH: &str = "/api/host/key";

/// Where a host asks for statements about decision keys, and for its settings.
pub const KEYS_PATH: &str = "/api/host/keys";

/// The largest body of these requests in bytes.
pub const MAX_BODY_BYTES: usize = 4096;
