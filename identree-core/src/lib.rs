#![doc = include_str!("../README.md")]

pub mod canon;
pub mod challenge;
pub mod credential;
pub mod grant;
pub mod id;
pub mod secret;
pub mod text;
pub mod time;
pub mod wire;

#[cfg(feature = "engine")]
pub mod retry;
#[cfg(feature = "engine")]
pub mod rng;
