//! The helper against a scripted server over real TLS; and, where the machine has them, under real sudo and PAM.

mod answers;
#[path = "../e2e/mod.rs"]
mod e2e;
mod server;
mod wire;
