//! An event as the log keeps it: a leaf that everybody may see, and beside it what tells of persons.
//!
//! The leaf is canonical JSON (RFC 8785: members in order, no spaces). Where an event tells of persons, the leaf has a commitment
//! instead: the SHA-256 of the personal part, which begins with 16 random bytes. Erasing the personal part leaves the leaf, its
//! hash and so the whole tree as they were; without the salt nobody can guess what stood there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AuditEvent, EventKind, EventSeq, SealedEvent};
use crate::id::{ChallengeId, EventId, Target, UserName};
use crate::store::{Bundle, Hash, TILE};
use crate::time::Timestamp;

/// The details that tell of persons: they stand beside the leaf, never in it.
pub const PERSONAL_DETAILS: &[&str] = &[
    "action",
    "address",
    "after",
    "before",
    "command",
    "email",
    "error",
    "name",
    "reason",
    "sub",
    "text",
    "user",
    "user_agent",
];

/// The longest detail in a leaf, in bytes; of a longer one the leaf has its SHA-256.
const LONGEST_DETAIL: usize = 4096;
/// The longest leaf, in bytes: its length stands in two.
const LONGEST_LEAF: usize = 0xffff;

/// An event ready for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is hashed into the tree.
    pub leaf: Vec<u8>,
    /// What stands beside it; nothing where the event tells of no person, or it was erased.
    pub personal: Vec<u8>,
}

/// What was read is no entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not the JSON of a leaf, or of a personal part.
    #[error("not an entry of this log")]
    Json(#[from] serde_json::Error),
    /// The personal part is not the one that the leaf commits to.
    #[error("the personal data is not what the entry commits to")]
    Commitment,
    /// Lengths and bytes do not fit together.
    #[error("the bundle ends in the middle of entry {0}")]
    Cut(u64),
    /// It is longer than an entry may be.
    #[error("the entry is longer than {LONGEST_LEAF} bytes")]
    TooLong,
}

/// The leaf as it is read.
#[derive(Deserialize)]
struct Leaf<'a> {
    at: Timestamp,
    #[serde(default)]
    challenge: Option<ChallengeId>,
    #[serde(borrow, default)]
    details: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    id: EventId,
    kind: EventKind,
    /// The commitment.
    #[serde(borrow, default)]
    personal: Option<Cow<'a, str>>,
    #[serde(default)]
    target: Option<Target>,
    #[serde(borrow, default)]
    via: Option<Cow<'a, str>>,
}

/// The personal part as it is read.
#[derive(Deserialize)]
struct Personal<'a> {
    #[serde(default)]
    actor: Option<UserName>,
    #[serde(borrow, default)]
    details: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(default)]
    subject: Option<UserName>,
}

/// The leaf as it is written, straight from the event. Members stand in the order of their names.
#[derive(Serialize)]
struct LeafOf<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<ChallengeId>,
    #[serde(skip_serializing_if = "DetailsOf::is_empty")]
    details: DetailsOf<'a>,
    id: EventId,
    kind: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a Target>,
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
}

/// The personal part as it is written, in the order of its names.
#[derive(Serialize)]
struct PersonalOf<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a UserName>,
    #[serde(skip_serializing_if = "DetailsOf::is_empty")]
    details: DetailsOf<'a>,
    salt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a UserName>,
}

/// The details of one of the two parts.
#[derive(Clone, Copy)]
struct DetailsOf<'a> {
    all: &'a BTreeMap<String, String>,
    /// Which of the first 64 tell of persons, a bit each: every name is looked up once.
    persons: u64,
    personal: bool,
}

impl<'a> DetailsOf<'a> {
    /// Those that tell of persons.
    fn personal(all: &'a BTreeMap<String, String>) -> Self {
        let bit = |(at, name): (usize, &String)| u64::from(is_personal(name)) << at;
        Self { all, persons: all.keys().take(64).enumerate().map(bit).sum(), personal: true }
    }

    /// The others.
    fn rest(self) -> Self {
        Self { personal: false, ..self }
    }

    fn iter(self) -> impl Iterator<Item = (&'a String, &'a String)> {
        let tells = move |at: usize, name: &String| match at {
            0..64 => self.persons >> at & 1 == 1,
            _ => is_personal(name),
        };
        let wanted = self.all.iter().enumerate().filter(move |(at, (name, _))| tells(*at, name) == self.personal);
        wanted.map(|(_, detail)| detail)
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Serialize for DetailsOf<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let short = |value: &'_ String| self.personal || value.len() <= LONGEST_DETAIL;
        to.collect_map(self.iter().map(|(name, value)| match short(value) {
            true => (name, Cow::Borrowed(&**value)),
            false => (name, digest(value)),
        }))
    }
}

/// Whether a detail of this name tells of persons. Most lengths differ, so that few are compared.
fn is_personal(name: &str) -> bool {
    PERSONAL_DETAILS.contains(&name)
}

/// Appends the personal part; nothing, if the event tells of no person.
fn write_personal(
    event: &AuditEvent,
    details: DetailsOf<'_>,
    salt: [u8; 16],
    to: &mut Vec<u8>,
) -> serde_json::Result<()> {
    if event.actor.is_none() && event.subject.is_none() && details.is_empty() {
        return Ok(());
    }
    let (actor, subject) = (event.actor.as_ref(), event.subject.as_ref());
    let salt = base64::<22>(&salt);
    serde_json::to_writer(to, &PersonalOf { actor, details, salt: text(&salt), subject })
}

/// Appends the leaf.
fn write_leaf(event: &AuditEvent, details: DetailsOf<'_>, personal: &[u8], to: &mut Vec<u8>) -> Result<(), EntryError> {
    let (commitment, before) = (base64::<43>(&Sha256::digest(personal)), to.len());
    let leaf = LeafOf {
        at: event.at,
        challenge: event.challenge,
        details: details.rest(),
        id: event.id,
        kind: event.kind,
        personal: (!personal.is_empty()).then(|| text(&commitment)),
        target: event.target.as_ref(),
        v: 1,
        via: event.via.as_deref(),
    };
    serde_json::to_writer(&mut *to, &leaf)?;
    if to.len() - before > LONGEST_LEAF { Err(EntryError::TooLong) } else { Ok(()) }
}

impl Entry {
    /// An event, with a salt that nobody else has.
    ///
    /// # Errors
    /// [`EntryError::TooLong`] if it is longer than an entry may be, details apart.
    pub fn of(event: &AuditEvent, salt: [u8; 16]) -> Result<Self, EntryError> {
        let details = DetailsOf::personal(&event.details);
        let (mut personal, mut leaf) = (Vec::new(), Vec::with_capacity(512));
        write_personal(event, details, salt, &mut personal)?;
        write_leaf(event, details, &personal, &mut leaf)?;
        Ok(Self { leaf, personal })
    }

    /// Appends an event to a bundle's two parts, as [`Entry::of`] and [`Entry::push`] do, with no copy in between; gives the hash of
    /// its leaf.
    ///
    /// # Errors
    /// [`EntryError::TooLong`] if it is longer than an entry may be, details apart; the bundle is as it was then.
    pub fn append(event: &AuditEvent, salt: [u8; 16], bundle: &mut Bundle) -> Result<Hash, EntryError> {
        let (leaf, personal) = (bundle.entries.len(), bundle.personal.len());
        let appended = Self::try_append(event, salt, bundle);
        if appended.is_err() {
            bundle.entries.truncate(leaf);
            bundle.personal.truncate(personal);
        }
        appended
    }

    fn try_append(event: &AuditEvent, salt: [u8; 16], bundle: &mut Bundle) -> Result<Hash, EntryError> {
        let details = DetailsOf::personal(&event.details);
        let personal = with_length::<4, _>(&mut bundle.personal, |to| write_personal(event, details, salt, to))?;
        let leaf = with_length::<2, _>(&mut bundle.entries, |to| write_leaf(event, details, personal, to))?;
        Ok(leaf_hash(leaf))
    }

    /// The hash of the leaf (RFC 6962 §2.1).
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.leaf)
    }

    /// The event at this place of the log.
    ///
    /// # Errors
    /// [`EntryError`] if it is none, or the personal part is another's.
    pub fn sealed(&self, seq: EventSeq) -> Result<SealedEvent, EntryError> {
        let leaf: Leaf<'_> = serde_json::from_slice(&self.leaf)?;
        let personal: Option<Personal<'_>> = match (&leaf.personal, self.personal.is_empty()) {
            (_, true) => None,
            (Some(wanted), false) if *wanted == commitment(&self.personal) => {
                Some(serde_json::from_slice(&self.personal)?)
            }
            _ => return Err(EntryError::Commitment),
        };
        let mut salt = None;
        let mut event = AuditEvent {
            challenge: leaf.challenge,
            target: leaf.target,
            via: leaf.via.map(Cow::into_owned),
            details: leaf.details.into_iter().map(owned).collect(),
            ..AuditEvent::new(leaf.id, leaf.at, leaf.kind)
        };
        if let Some(personal) = personal {
            event.actor = personal.actor;
            event.subject = personal.subject;
            event.details.extend(personal.details.into_iter().map(owned));
            salt = URL_SAFE_NO_PAD.decode(&*personal.salt).ok().and_then(|bytes| bytes.try_into().ok());
        }
        Ok(SealedEvent { seq, event, leaf_hash: self.leaf_hash(), salt })
    }

    /// Whether it tells of persons and its personal part is not there: it was erased, or is withheld, and nothing tells which.
    ///
    /// # Errors
    /// [`EntryError`] if the leaf is none.
    pub fn lacks_personal(&self) -> Result<bool, EntryError> {
        let leaf: Leaf<'_> = serde_json::from_slice(&self.leaf)?;
        Ok(leaf.personal.is_some() && self.personal.is_empty())
    }

    /// Appends it to a bundle's two parts.
    pub fn push(&self, bundle: &mut Bundle) {
        let copy = |part: &Vec<u8>, to: &mut Vec<u8>| {
            to.extend_from_slice(part);
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(_) = with_length::<2, _>(&mut bundle.entries, |to| copy(&self.leaf, to));
        let Ok(_) = with_length::<4, _>(&mut bundle.personal, |to| copy(&self.personal, to));
    }

    /// The entries of a bundle.
    ///
    /// # Errors
    /// [`EntryError::Cut`] with the place in the log where lengths and bytes do not fit together.
    pub fn split(bundle: &Bundle) -> Result<Vec<Self>, EntryError> {
        let (mut entries, mut personal, mut found) = (&*bundle.entries, &*bundle.personal, Vec::new());
        while !entries.is_empty() {
            let cut = || EntryError::Cut(bundle.number.saturating_mul(TILE) + found.len() as u64);
            let leaf = take::<2>(&mut entries).ok_or_else(cut)?;
            let beside = take::<4>(&mut personal).ok_or_else(cut)?;
            found.push(Self { leaf: leaf.to_vec(), personal: beside.to_vec() });
        }
        if personal.is_empty() { Ok(found) } else { Err(EntryError::Cut(bundle.number * TILE + found.len() as u64)) }
    }
}

impl Entry {
    /// The leaves in the first part of the bundle of this number, in place.
    ///
    /// # Errors
    /// [`EntryError::Cut`] with the place in the log where lengths and bytes do not fit together.
    pub fn leaves(number: u64, entries: &[u8]) -> Result<Vec<&[u8]>, EntryError> {
        whole(Self::split_leaves(number, entries))
    }

    /// The same as far as they can be told apart, and where that ends.
    pub(super) fn split_leaves(number: u64, entries: &[u8]) -> (Vec<&[u8]>, Option<EntryError>) {
        parts::<2>(number, entries)
    }

    /// The personal parts in the second part of the bundle of this number, in place.
    ///
    /// # Errors
    /// [`EntryError::Cut`] with the place in the log where lengths and bytes do not fit together.
    pub fn personal_parts(number: u64, personal: &[u8]) -> Result<Vec<&[u8]>, EntryError> {
        whole(parts::<4>(number, personal))
    }
}

fn whole<T>((parts, cut): (T, Option<EntryError>)) -> Result<T, EntryError> {
    cut.map_or(Ok(parts), Err)
}

/// One more than a bundle has at most, so that whoever counts sees it: a crafted file might have a hundred million.
fn parts<const N: usize>(number: u64, mut rest: &[u8]) -> (Vec<&[u8]>, Option<EntryError>) {
    let mut found = Vec::new();
    while !rest.is_empty() && found.len() as u64 <= TILE {
        let Some(part) = take::<N>(&mut rest) else {
            let place = number.saturating_mul(TILE).saturating_add(found.len() as u64);
            return (found, Some(EntryError::Cut(place)));
        };
        found.push(part);
    }
    (found, None)
}

/// The hash of a leaf (RFC 6962 §2.1): SHA-256 of a zero byte and the leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

fn owned((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

/// Appends what is written, after its length in `N` bytes; gives what was written. A leaf fits by construction; a personal part of
/// 4 GiB fits in no memory that made it.
fn with_length<const N: usize, E>(
    to: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<&[u8], E> {
    let at = to.len();
    to.extend_from_slice(&[0; N]);
    write(to)?;
    let length = (to.len() - at - N).to_be_bytes();
    to[at..at + N].copy_from_slice(&length[length.len() - N..]);
    Ok(&to[at + N..])
}

/// Takes what stands after its length in `N` bytes.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<N>()?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let (taken, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// What a leaf says of the personal part beside it.
pub(super) fn commitment(personal: &[u8]) -> String {
    text(&base64::<43>(&Sha256::digest(personal))).to_owned()
}

/// Base64url without padding; it must give as many bytes as are asked for.
fn base64<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [b'A'; N];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out);
    debug_assert_eq!(written, Ok(N), "its length is known");
    out
}

fn text(base64: &[u8]) -> &str {
    std::str::from_utf8(base64).expect("base64 is ASCII")
}

fn digest(value: &str) -> Cow<'static, str> {
    Cow::Owned(format!("sha256:{}", crate::text::hex(&Sha256::digest(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> AuditEvent {
        let mut event = AuditEvent::new(EventId::from_bytes([7; 16]), Timestamp::from_secs(9), EventKind::SignedIn)
            .with("address", "192.0.2.1")
            .with("issuer", "https://id.example");
        event.subject = Some(UserName::parse("ann").unwrap());
        event
    }

    #[test]
    fn personal_details_are_sorted() {
        assert!(PERSONAL_DETAILS.is_sorted());
    }

    #[test]
    fn what_goes_in_comes_out_and_the_leaf_names_nobody() {
        let entry = Entry::of(&event(), [1; 16]).unwrap();
        let leaf = String::from_utf8(entry.leaf.clone()).unwrap();
        assert!(!leaf.contains("ann") && !leaf.contains("192.0.2.1") && leaf.contains("id.example"), "{leaf}");
        let sealed = entry.sealed(EventSeq(3)).unwrap();
        assert_eq!((sealed.event, sealed.salt), (event(), Some([1; 16])));
        let value: serde_json::Value = serde_json::from_str(&leaf).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), leaf, "members stand in their order");
    }

    #[test]
    fn however_many_details_each_is_in_its_part() {
        let mut event = event();
        for n in 0..100 {
            event = event.with(&format!("open{n}"), "x");
        }
        let entry = Entry::of(&event, [1; 16]).unwrap();
        assert_eq!(entry.sealed(EventSeq(0)).unwrap().event, event);
        // `reason` comes after them all.
        let entry = Entry::of(&event.clone().with("reason", "none of yours"), [1; 16]).unwrap();
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
        assert!(!text(&entry.leaf).contains("none of") && text(&entry.personal).contains("none of"));
    }

    #[test]
    fn erasing_leaves_the_hash_and_another_personal_part_is_seen() {
        let entry = Entry::of(&event(), [1; 16]).unwrap();
        let erased = Entry { personal: vec![], ..entry.clone() };
        assert_eq!(erased.leaf_hash(), entry.leaf_hash());
        assert_eq!(erased.sealed(EventSeq(0)).unwrap().event.subject, None);
        assert_eq!((entry.lacks_personal().unwrap(), erased.lacks_personal().unwrap()), (false, true));
        let other = Entry { personal: Entry::of(&event(), [2; 16]).unwrap().personal, ..entry };
        assert!(matches!(other.sealed(EventSeq(0)), Err(EntryError::Commitment)));
    }

    #[test]
    fn bundles_split_into_what_was_pushed_and_a_cut_is_told() {
        let mut bundle = Bundle { number: 2, entries: vec![], personal: vec![] };
        let entries: Vec<_> = (0..3).map(|n| Entry::of(&event(), [n; 16]).unwrap()).collect();
        entries.iter().for_each(|entry| entry.push(&mut bundle));
        assert_eq!(Entry::split(&bundle).unwrap(), entries);
        let mut again = Bundle { number: 2, entries: vec![], personal: vec![] };
        let hashes: Vec<_> = (0..3).map(|n| Entry::append(&event(), [n; 16], &mut again).unwrap()).collect();
        assert_eq!((&again, hashes), (&bundle, entries.iter().map(Entry::leaf_hash).collect()));
        let mut long = event();
        long.via = Some("x".repeat(70_000));
        assert!(matches!(Entry::append(&long, [0; 16], &mut again), Err(EntryError::TooLong)));
        assert_eq!(again, bundle, "nothing of it is left");
        bundle.entries.pop();
        assert!(matches!(Entry::split(&bundle), Err(EntryError::Cut(514))));
    }
}
