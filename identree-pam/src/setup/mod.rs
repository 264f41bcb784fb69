//! Puts the gate into this host's PAM stacks, and takes it out again: planned as text, rehearsed, then changed file by
//! file with a way back at every step.

mod act;
mod audit;
pub mod file;
pub mod journal;
pub mod plan;
mod rehearse;
pub mod stack;

use std::io;
use std::path::PathBuf;

pub use self::act::{Done, Setup};
pub use self::stack::{Password, StackError};
use crate::state::StateError;

/// Why setup did not do it. Everything is as it was before, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not root.
    #[error("only root can do this; run it with sudo or as root")]
    NotRoot,
    /// A file cannot be read or written.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A PAM stack that cannot be edited with certainty.
    #[error("{}: {cause}", .path.display())]
    Stack {
        /// Which file.
        path: PathBuf,
        /// What is in the way.
        cause: StackError,
    },
    /// A service that identree cannot ask in.
    #[error("the PAM service '{0}' is not one that identree can ask in; those are sudo, sudo-i, su and su-l")]
    Service(String),
    /// A service without a file.
    #[error("{}: is not there, so there is nothing to put the gate into", .0.display())]
    NoService(PathBuf),
    /// A program of ours is not there or not root's alone.
    #[error("{0}")]
    Program(crate::config::FileError),
    /// The plan did not keep its promise when it was tried.
    #[error(
        "the test failed, so nothing was changed: {door}: expected that {what}; {asked} questions were asked, and it printed:\n    {output}"
    )]
    Test {
        /// Which door.
        door: &'static str,
        /// What should have been.
        what: &'static str,
        /// How many questions were asked.
        asked: usize,
        /// What was printed.
        output: String,
    },
    /// Nothing could be tried.
    #[error("the test could not be made, so nothing was changed: {0}")]
    Trial(crate::trial::TrialError),
    /// Removing left something.
    #[error("{}: still has lines of identree; everything was put back", .0.display())]
    Left(PathBuf),
    /// Setup's own folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// A record of setup's own.
    #[error("{}: is damaged; restore the files by hand (the lines between `identree setup: begin` and `end` go out), then remove it", .0.display())]
    Record(PathBuf),
    /// Somebody edited a file between an interrupted run and this one.
    #[error("{}: was changed since an interrupted setup; nothing was touched. Look at it, restore it by hand, then remove {}", .path.display(), .record.display())]
    Changed {
        /// Which file.
        path: PathBuf,
        /// The record of the interrupted run.
        record: PathBuf,
    },
    /// Putting back failed.
    #[error("{}: could not be put back: {cause}; run setup again, it tries once more", .path.display())]
    NotUndone {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}
