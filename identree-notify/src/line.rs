//! An event as one line of JSON: made in one place, so that every sink ships the same bytes.
//!
//! | Field | When | What |
//! |---|---|---|
//! | `seq` | always | its place in the sealed log: without gaps, from 0; the same event twice has the same |
//! | `timestamp` | always | when it happened: RFC 3339, UTC, milliseconds |
//! | `event` | always | what happened |
//! | `username` | always, may be empty | who asked, or whom it is about; empty also where personal data was erased |
//! | `hostname` | if it is about a host | which |
//! | `target` | if it is about another named thing | which |
//! | `actor` | if somebody did it | who |
//! | `reason` | if one was given | the detail `reason` |
//! | `remote_addr` | if it came from an address | the detail `address` |
//! | `source` | always | `identree` |
//! | `version` | always | the version of the program that shipped it |
//! | `id` | always | the event's own identity |
//! | `challenge` | if it is about a question | which |
//! | `via` | if somebody did it | which way they came in |
//! | `details` | if there are more | all other details, by name |
//! | `hash` | always | the hash of its leaf in the log (RFC 6962 §2.1), in hexadecimal digits |
//! | `salt` | if it holds personal data | the salt of the commitment to it, in hexadecimal digits |
//! | `shortened` | if a destination takes no more | `true`: `reason`, `remote_addr`, `via` and `details` were left out |
//!
//! Characters that would not be seen as themselves (controls, bidirectional overrides) are written as `\u` escapes, so that a terminal
//! shows what stands there; for whoever parses the line they are the same.

use std::fmt::Display;
use std::io;

use identree_core::audit::SealedEvent;
use identree_core::id::{ChallengeId, EventId, Target, UserName};
use identree_core::text::{hex, is_hidden};
use identree_core::time::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// Appends the event as one line, without the line's end.
pub fn write(event: &SealedEvent, out: &mut Vec<u8>) {
    line(event, Length::Whole, out);
}

/// The same without what may be long: for a destination that would cut the line off.
pub fn write_shortened(event: &SealedEvent, out: &mut Vec<u8>) {
    line(event, Length::Shortened, out);
}

/// What is written of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Whole,
    Shortened,
}

fn line(sealed: &SealedEvent, length: Length, out: &mut Vec<u8>) {
    let event = &sealed.event;
    let whole = length == Length::Whole;
    let detail = |name: &str| event.details.get(name).filter(|_| whole).map(String::as_str);
    let line = Line {
        seq: sealed.seq.0,
        timestamp: Shown(event.at),
        event: event.kind.as_str(),
        username: event.subject.as_ref().map_or("", UserName::as_str),
        hostname: hostname(sealed),
        target: event.target.as_ref().filter(|target| matches!(target, Target::Named(_))).map(Target::name),
        actor: event.actor.as_ref().map(UserName::as_str),
        reason: detail(REASON),
        remote_addr: detail(ADDRESS),
        source: "identree",
        version: env!("CARGO_PKG_VERSION"),
        id: Shown(event.id),
        challenge: event.challenge.map(Shown),
        via: event.via.as_deref().filter(|_| whole),
        details: Details(whole.then_some(sealed)),
        hash: hex(&sealed.leaf_hash),
        salt: sealed.salt.map(|salt| hex(&salt)),
        shortened: !whole,
    };
    // Writing to memory never fails, and every part is a text or a number.
    let _ = line.serialize(&mut serde_json::Serializer::with_formatter(out, Visible));
}

/// The host that it is about.
pub(crate) fn hostname(event: &SealedEvent) -> Option<&str> {
    event.event.target.as_ref().filter(|target| matches!(target, Target::Host(_))).map(Target::name)
}

const REASON: &str = "reason";
const ADDRESS: &str = "address";

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    timestamp: Shown<Timestamp>,
    event: &'static str,
    username: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_addr: Option<&'a str>,
    source: &'static str,
    version: &'static str,
    id: Shown<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<Shown<ChallengeId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    #[serde(skip_serializing_if = "Details::is_empty")]
    details: Details<'a>,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shortened: bool,
}

/// What shows as text.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The details that have no field of their own.
struct Details<'a>(Option<&'a SealedEvent>);

impl<'a> Details<'a> {
    fn each(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let details = self.0.into_iter().flat_map(|sealed| &sealed.event.details);
        details
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| ![REASON, ADDRESS].contains(name))
    }

    fn is_empty(&self) -> bool {
        self.each().next().is_none()
    }
}

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.each() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Compact JSON in which no character hides.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
            return out.write_all(fragment.as_bytes());
        }
        let (mut from, mut units) = (0, [0; 2]);
        for (at, hidden) in fragment.char_indices().filter(|(_, c)| is_hidden(*c)) {
            out.write_all(&fragment.as_bytes()[from..at])?;
            for unit in hidden.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
            from = at + hidden.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[from..])
    }
}
