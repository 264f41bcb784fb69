//! Walks the doors to root by really trying each of them in a child, which never gets a shell: whatever it runs prints a
//! number and ends.
//!
//! *Gated* is said only of a door that was tried in every way it can be opened and asked each time. The server that is
//! asked is our own, on loopback, and answers with a no; where a first yes is needed to see what comes after it, with one.

mod blame;
mod doors;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::doors::walk;
use crate::setup::plan::Places;
use crate::terminal::Terminal;
use crate::trial::Account;

/// What is known about a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A child tried it, and was asked each time.
    Gated,
    /// Nobody can say from a try.
    Unknown,
    /// Somebody becomes root unasked.
    Open,
}

/// What was found at one door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// As one types it.
    pub door: String,
    /// What is known.
    pub standing: Standing,
    /// How it is known.
    pub why: String,
    /// The file and line that make it so, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
}

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which file.
    pub file: PathBuf,
    /// Counted from 1.
    pub number: usize,
    /// What it says.
    pub text: String,
}

/// What a walk needs.
#[derive(Debug)]
pub struct Walk<'a> {
    /// Where things are.
    pub places: &'a Places,
    /// This program, which tries the doors.
    pub program: &'a Path,
    /// An empty folder of root's.
    pub room: &'a Path,
    /// Who tries.
    pub account: &'a Account,
}

/// Shows what was found, one door after the other.
pub fn show(found: &[Found], out: &mut dyn Terminal) {
    for Found { door, standing, why, line } in found {
        let standing = match standing {
            Standing::Gated => "gated",
            Standing::Unknown => "unknown",
            Standing::Open => "OPEN",
        };
        out.say(&format!("{door:<9} {standing:<8} {why}"));
        if let Some(Line { file, number, text }) = line {
            out.say(&format!("{:19}{}:{number}: {text}", "", file.display()));
        }
    }
}

/// 0 if every door is gated, 1 if one is unknown, 2 if one is open.
pub fn exit_code(found: &[Found]) -> u8 {
    match found.iter().map(|found| found.standing).max() {
        None | Some(Standing::Gated) => 0,
        Some(Standing::Unknown) => 1,
        Some(Standing::Open) => 2,
    }
}
