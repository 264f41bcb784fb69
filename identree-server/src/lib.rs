#![doc = include_str!("../README.md")]

#[cfg(feature = "dev-idp")]
pub mod devidp;
pub mod layer;
pub mod parts;
pub mod session;
