//! What every request passes through.

pub mod cookie;
pub mod host_auth;
pub mod sign_in;
