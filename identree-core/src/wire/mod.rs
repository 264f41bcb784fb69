//! What hosts and servers say to each other. Additive only: a host two releases older keeps working.

pub mod heartbeat;
pub mod login;
pub mod settings;
pub mod v1;
