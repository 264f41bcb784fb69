#![doc = include_str!("../README.md")]

pub mod layer;
pub mod parts;
pub mod session;
