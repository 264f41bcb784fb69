//! What every request passes through.

pub mod cookie;
pub mod sign_in;
