//! What is fed with bytes from outside, and what must hold whatever they are. Run by libFuzzer (`.ci/fuzz`) and, over the
//! committed corpora, by `cargo test`.

use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use identree_core::audit::copy::{Notes, Place};
use identree_core::audit::{Checkpoint, Entry, EventSeq, LogKey, Origin, Statement};
use identree_core::canon::{Reader, Writer};
use identree_core::challenge::{Challenge as _, UserCode};
use identree_core::credential::{Authorization, HostKey, MasterSecret};
use identree_core::directory::Snapshot;
use identree_core::enrol::{EnrolReply, EnrolRequest, KeyRequest, KeysReply, Token};
use identree_core::grant::{Answer, Expected, KeyRing, KeyStatement, SignedAnswer, SignedStatement, Trust, verify};
use identree_core::id::{
    ChallengeId, ChallengeKind, GroupName, HostName, Nonce, RuleName, ServiceName, Target as About, TokenId, UnixGroup,
    UserName,
};
use identree_core::policy::{Outcome, Policy as _, PolicyInput, RuleSet, Window};
use identree_core::store::Bundle;
use identree_core::text::{command_line, is_hidden, visible, visible_bytes};
use identree_core::time::Timestamp;
use identree_core::wire::settings::ClientSettings;
use identree_core::wire::v1::{OpenRequest, Problem, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Takes any bytes; panics where a promise is broken.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("answer", answer),
    ("authorization", authorization),
    ("bundle", bundle),
    ("canonical", canonical),
    ("checkpoint", checkpoint),
    ("checkpoints", checkpoints),
    ("client_settings", client_settings),
    ("command_line", different_commands_look_different),
    ("enrol_reply", enrol_reply),
    ("enrol_request", enrol_request),
    ("enrol_token", enrol_token),
    ("key_ring", key_ring),
    ("key_statement", key_statement),
    ("log_key", log_key),
    ("log_path", log_path),
    ("log_proof", log_proof),
    ("names", names),
    ("open_request", open_request),
    ("policy_json", policy_json),
    ("policy_toml", policy_toml),
    ("reply", reply),
    ("user_code", user_code),
    ("visible", nothing_hidden_is_shown),
    ("window", window),
];

/// A public key of nobody in this file.
const KEYS: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn shown(text: &str) {
    assert!(!text.chars().any(is_hidden), "{text:?} hides something");
}

/// What is read, written and read again is the same.
fn round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), read);
    Some(read)
}

fn open_request(data: &[u8]) {
    let Some(request) = round_trip::<OpenRequest>(data) else { return };
    let host = About::Host(HostName::parse("web1").expect("a name"));
    let Ok(first) = request.clone().into_challenge(host.clone(), Vec::new()) else { return };
    let again = request.into_challenge(host, Vec::new()).expect("the same request");
    assert_eq!(first.payload(), again.payload());
    let summary = first.summary();
    shown(&summary.action);
    shown(first.requester().as_str());
    assert!(!first.command_is_exact(), "what was typed is never what runs");
}

fn authorization(data: &[u8]) {
    let Some(Ok(parsed)) = text(data).map(Authorization::parse) else { return };
    shown(parsed.host.as_str());
    assert_eq!(Authorization::parse(&parsed.to_string()), Ok(parsed));
}

fn token() -> Token {
    let master = MasterSecret::parse("the master secret of the fuzzing of enrolment").expect("long enough");
    master.enrol_token(&HostName::parse("web1").expect("a name"), 1, TokenId::from_bytes([7; 8]))
}

fn enrol_token(data: &[u8]) {
    let Some(Ok(token)) = text(data).map(Token::parse) else { return };
    shown(token.host().as_str());
    let again = Token::parse(token.reveal().expose()).expect("what was read can be written");
    assert_eq!((again.host(), again.id()), (token.host(), token.id()));
}

/// Nobody knows the token of this file, and nobody holds the key of another.
fn enrol_request(data: &[u8]) {
    let Some(request) = round_trip::<EnrolRequest>(data) else { return };
    shown(request.host.as_str());
    assert!(!request.knows(&token()));
    let _ = request.possessed(); // anybody may hold a key
    drop(round_trip::<KeyRequest>(data));
}

fn enrol_reply(data: &[u8]) {
    drop(round_trip::<KeysReply>(data));
    let Some(reply) = round_trip::<EnrolReply>(data) else { return };
    let key = HostKey::from_seed(&[1; 32]);
    let request = EnrolRequest::new(&token(), &key, Nonce::from_bytes([2; 32]));
    assert!(reply.open(&token(), &request).is_err(), "an answer of somebody who does not know the token");
}

/// One form, always a key that lasts, and nothing is learnt from what a trusted key did not sign.
fn key_statement(data: &[u8]) {
    let trust = Trust::pinned(&KeyRing::parse(KEYS).expect("a key"), None);
    let mut learnt = trust.clone();
    for signed in [
        Some(SignedStatement { bytes: data.to_vec(), signatures: Vec::new() }),
        serde_json::from_slice::<SignedStatement>(data).ok(),
    ]
    .into_iter()
    .flatten()
    {
        if let Ok(statement) = KeyStatement::decode(&signed.bytes) {
            assert_eq!(statement.encode(), signed.bytes);
            assert!(statement.keys[0].until.is_none());
        }
        assert!(learnt.learn(&signed, Timestamp::from_secs(1)).is_err());
        assert_eq!(learnt, trust);
    }
}

fn client_settings(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let settings = ClientSettings::parse(text);
    assert_eq!(ClientSettings::parse(&settings.to_string()), settings);
    assert_eq!(settings.over(&settings), settings);
}

/// Canonical bytes have one form, and nothing that was not signed is believed.
fn answer(data: &[u8]) {
    let (bytes, signature) = data.split_at(data.len().saturating_sub(64));
    for bytes in [data, bytes] {
        let Ok((key, answer)) = Answer::decode(bytes) else { continue };
        assert_eq!(answer.encode(key), bytes);
        let expected = Expected {
            nonce: &answer.nonce,
            target: &answer.target,
            kind: &answer.kind,
            requester: &answer.requester,
            run_as_user: answer.run_as_user.as_ref(),
            run_as_group: answer.run_as_group.as_ref(),
            payload_sha256: &answer.payload_sha256,
        };
        let keys = KeyRing::parse(KEYS).expect("a key");
        let signed = SignedAnswer { bytes: bytes.to_vec(), signature: signature.to_vec() };
        assert!(verify(&signed, &keys, &expected).is_err(), "a forgery is believed");
    }
}

fn canonical(data: &[u8]) {
    const PURPOSE: &[u8] = b"fuzz";
    let Ok(mut reader) = Reader::new(data, PURPOSE) else { return };
    let mut writer = Writer::new(PURPOSE);
    while let Ok(field) = reader.take() {
        writer.put(field);
    }
    if reader.end().is_ok() {
        assert_eq!(writer.finish(), data);
    }
}

fn user_code(data: &[u8]) {
    let Some(Ok(code)) = text(data).map(UserCode::parse) else { return };
    let (letters, digits) = code.as_str().split_once('-').expect("a dash");
    assert!(letters.len() == 6 && letters.bytes().all(|b| b.is_ascii_uppercase() && b != b'I' && b != b'O'));
    assert!(digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()) && digits == code.number());
    assert_eq!(UserCode::parse(code.as_str()), Ok(code));
}

macro_rules! name {
    ($type:ty, $text:expr) => {
        if let Ok(name) = <$type>::parse($text) {
            assert!(!name.as_str().is_empty() && name.as_str().len() <= <$type>::MAX_BYTES);
            shown(name.as_str());
            assert!(!name.as_str().contains(['\'', '"', '<', '/', ' ']), "{name}");
            assert_eq!(<$type>::parse(name.as_str()).as_ref(), Ok(&name));
            round_trip::<$type>(&serde_json::to_vec(&name).expect("a text"));
        }
    };
}

fn names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    name!(HostName, text);
    name!(UserName, text);
    name!(UnixGroup, text);
    name!(ServiceName, text);
    name!(ChallengeKind, text);
    name!(RuleName, text);
    if let Ok(group) = GroupName::parse(text) {
        shown(group.as_str());
        assert_eq!(GroupName::parse(group.as_str()), Ok(group));
    }
    if let Ok(id) = ChallengeId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(nonce) = Nonce::parse(text) {
        assert_eq!(nonce.to_string(), text);
    }
    // A problem of a name is shown to people and logged.
    if let Err(error) = UserName::parse(text) {
        shown(&error.to_string());
    }
}

fn policy_toml(data: &[u8]) {
    policy(data, RuleSet::parse);
}

fn policy_json(data: &[u8]) {
    policy(data, RuleSet::parse_json);
}

fn policy<E: std::fmt::Display + Debug>(data: &[u8], parse: fn(&str) -> Result<RuleSet, E>) {
    let Some(text) = text(data) else { return };
    let rules = match parse(text) {
        Ok(rules) => rules,
        Err(error) => return assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}"),
    };
    assert_eq!(parse(text).expect("the same text").revision(), rules.revision());
    let (kind, target) = (ChallengeKind::parse("sudo"), HostName::parse("web1"));
    let (kind, target) = (kind.expect("a kind"), About::Host(target.expect("a name")));
    let input = PolicyInput {
        kind: &kind,
        requester: &UserName::parse("ann").expect("a name"),
        target: &target,
        target_groups: &["edge".to_owned()],
        command: Some("sudo whoami"),
        command_is_exact: false,
        run_as: None,
        now: Timestamp::from_secs(1_764_000_000),
        directory: &Snapshot::default(),
    };
    let mut evaluated = pin!(rules.evaluate(&input));
    let Poll::Ready(outcome) = evaluated.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("rules never wait")
    };
    // With no rule at all the answer is no.
    assert!(!rules.rules().is_empty() || matches!(outcome, Ok(Outcome::Refuse { .. })));
}

fn nothing_hidden_is_shown(data: &[u8]) {
    shown(&visible_bytes(data));
    shown(&command_line(&[data]));
    let Some(text) = text(data) else { return };
    let once = visible(text);
    shown(&once);
    assert_eq!(visible(&once), once);
}

/// No two commands look alike: arguments end with a zero byte, and one that is empty ends the first command.
fn different_commands_look_different(data: &[u8]) {
    let arguments: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    let middle = arguments.iter().position(|argument| argument.is_empty()).unwrap_or(arguments.len() / 2);
    let (one, other) = arguments.split_at(middle);
    if one != other {
        assert_ne!(command_line(one), command_line(other));
    }
}

fn window(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (hours, days) = text.split_once('\n').unwrap_or((text, ""));
    for (hours, days) in [(Some(hours), Some(days)), (Some(hours), None), (None, Some(days))] {
        let Ok(window) = Window::parse(hours, days) else { continue };
        for secs in [i64::MIN / 1000, -1, 0, 1_764_000_000, i64::MAX / 1000] {
            let at = Timestamp::from_secs(secs);
            assert_eq!(window.is_open(at), window.is_open(at));
        }
    }
}

fn key_ring(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match KeyRing::parse(text) {
        Ok(_) => assert!(!text.trim().is_empty(), "no key at all is accepted"),
        Err(error) => shown(&error.to_string()),
    }
}

/// What hosts read of the server.
fn reply(data: &[u8]) {
    round_trip::<Reply>(data);
    round_trip::<Problem>(data);
    if let Some(signed) = round_trip::<SignedAnswer>(data) {
        let _ = Answer::decode(&signed.bytes);
    }
}

fn somebody() -> LogKey {
    let key = HostKey::from_seed(&[3; 32]).public();
    LogKey { origin: Origin::parse("identree.example/log").expect("an origin"), key }
}

/// Nobody has signed it: whatever it is, it is no checkpoint of this key.
fn checkpoint(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match Checkpoint::open(text, &somebody()) {
        Ok(found) => panic!("a forged checkpoint was believed: {found:?}"),
        Err(error) => shown(&error.to_string()),
    }
}

/// Notes are told as they stand, one after the other, until something is wrong.
fn checkpoints(data: &[u8]) {
    let mut read = 0;
    for note in Notes::new(data) {
        let Ok(note) = note else { break };
        assert!(data[read..].starts_with(note.as_bytes()) && data[read + note.len()] == b'\n');
        read += note.len() + 1;
    }
}

fn log_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match LogKey::parse(text) {
        Ok(key) => assert_eq!(LogKey::parse(&key.to_string()), Ok(key)),
        Err(error) => shown(&error.to_string()),
    }
}

fn log_path(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(place) = Place::parse(text) {
        assert_eq!(place.to_string(), text);
        assert!(!text.contains("..") && !text.starts_with('/') && place.width <= 256);
    }
}

/// Entries that are told apart are those that were put together, and nothing that is none is taken for one.
fn bundle(data: &[u8]) {
    let middle = usize::from(data.first().copied().unwrap_or(0)) * data.len() / 256;
    let (entries, personal) = data.split_at(middle);
    let bundle = Bundle { number: 7, entries: entries.to_vec(), personal: personal.to_vec() };
    for bundle in [&Bundle { personal: Vec::new(), entries: data.to_vec(), number: 7 }, &bundle] {
        if let Ok(parts) = Entry::leaves(7, &bundle.entries) {
            assert_eq!(parts.iter().map(|leaf| leaf.len() + 2).sum::<usize>(), bundle.entries.len());
        }
        let Ok(found) = Entry::split(bundle) else { continue };
        let mut again = Bundle { number: 7, entries: Vec::new(), personal: Vec::new() };
        found.iter().for_each(|entry| entry.push(&mut again));
        assert_eq!(&again, bundle);
    }
    // A leaf by itself, with nothing or the rest beside it.
    for personal in [Vec::new(), personal.to_vec()] {
        let entry = Entry { leaf: entries.to_vec(), personal };
        if let Ok(sealed) = entry.sealed(EventSeq(7)) {
            assert_eq!(sealed.leaf_hash, entry.leaf_hash());
            assert!(!entry.personal.is_empty() || sealed.event.actor.is_none() && sealed.event.subject.is_none());
        }
    }
}

/// Nobody has signed it.
fn log_proof(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match Statement::parse(text) {
        Ok(statement) => {
            let written = serde_json::to_string(&statement).expect("what was read can be written");
            assert_eq!(Statement::parse(&written).expect("what was written can be read"), statement);
            assert!(statement.verify(&somebody()).is_err(), "a forged proof was believed");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
