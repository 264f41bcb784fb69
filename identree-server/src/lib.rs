#![doc = include_str!("../README.md")]

pub mod api;
pub mod config;
#[cfg(feature = "dev-idp")]
pub mod devidp;
pub mod hosts;
pub mod layer;
pub mod login;
pub mod parts;
pub mod session;
pub mod web;
