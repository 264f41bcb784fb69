#![doc = include_str!("../README.md")]

mod approval;
mod ask;
mod atomic;
mod check;
pub mod claims;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod enrol;
pub mod facts;
pub mod flow;
mod folder;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
pub mod glass;
pub mod guest;
pub mod heartbeat;
pub mod hygiene;
pub mod identity;
mod lock;
pub mod qr;
mod question;
pub mod setup;
pub mod state;
pub mod terminal;
mod text;
pub mod transport;
pub mod trial;
mod verdict;
mod why;

pub use self::approval::{Process, approve};
pub use self::ask::{ask, drive};
pub use self::check::check;
pub use self::config::Config;
pub use self::flow::Flow;
pub use self::gate::{Place, Reason, gate};
pub use self::qr::Canvas;
pub use self::question::Question;
pub use self::terminal::{Echo, Terminal};
pub use self::text::{Language, Notice};
pub use self::transport::Transport;
pub use self::verdict::{Interruption, NotAsked, Verdict};
/// What sudo asks: who wants to run what as whom.
pub use identree_core::challenge::SudoFacts as Facts;
