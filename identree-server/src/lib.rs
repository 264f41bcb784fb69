#![doc = include_str!("../README.md")]

pub mod announced;
pub mod api;
#[cfg(feature = "sqlite")]
pub mod backup;
pub mod boot;
pub mod cli;
pub mod client_conf;
mod clock_steps;
pub mod config;
pub mod data_lock;
pub mod database;
pub mod decision_key;
#[cfg(feature = "dev-idp")]
pub mod devidp;
pub mod disk;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod heartbeats;
pub mod hosts;
pub mod key_file;
pub mod layer;
mod life;
pub mod listen;
pub mod log_key;
pub mod login;
pub mod parts;
pub mod refusals;
mod replicas;
pub mod router;
pub mod routes;
pub mod session;
pub mod sinks;
pub mod telemetry;
pub mod versioned;
pub mod web;
