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
pub mod actor;
#[cfg(feature = "engine")]
pub mod audit;
#[cfg(feature = "engine")]
pub mod directory;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod escrow;
#[cfg(feature = "tower")]
pub mod gate;
#[cfg(feature = "engine")]
pub mod notify;
#[cfg(feature = "engine")]
pub mod policy;
#[cfg(feature = "engine")]
pub mod retry;
#[cfg(feature = "engine")]
pub mod rng;
#[cfg(feature = "engine")]
pub mod store;
#[cfg(feature = "testkit")]
pub mod testkit;

#[cfg(feature = "engine")]
pub use self::engine::{Ask, Engine, EngineError, Opened, Refusal, Verdict, Vote, VoteRefusal};
