//! What every request passes through. The order stands in [`crate::router`].

pub mod around;
pub mod body;
pub mod browser;
pub mod client_ip;
pub mod cookie;
pub mod csrf;
pub mod framing;
pub mod headers;
pub mod host_auth;
pub mod language;
pub mod rate_limit;
pub mod sign_in;
pub mod trace;
