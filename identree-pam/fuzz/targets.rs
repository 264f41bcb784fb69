//! What is fed with bytes from outside, and what must hold whatever they are. Run by libFuzzer (`.ci/fuzz`) and, over the
//! committed corpora, by `cargo test`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use identree_core::challenge::{Challenge as _, RunMode, SudoChallenge};
use identree_core::grant::{KeyRing, Trust};
use identree_core::id::HostName;
use identree_core::text::is_hidden;
use identree_pam::claims::Record;
use identree_pam::config::state::State;
use identree_pam::config::{Config, ServerUrl};
use identree_pam::facts::{PamItems, Phase, SudoCall, collect_call, each_once};
use identree_pam::fuzzing;

/// Takes any bytes; panics where a promise is broken.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("claim", claim),
    ("client_conf", client_conf),
    ("client_state", client_state),
    ("duration", duration),
    ("http_reply", http_reply),
    ("pam_environment", pam_environment),
    ("procfs", procfs),
    ("sudo_call", sudo_call),
    ("server_url", server_url),
    ("sudo_options", sudo_options),
];

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn shown(text: &str) {
    let hidden = |c: char| c != '\n' && is_hidden(c);
    assert!(!text.chars().any(hidden), "{text:?} hides something");
}

/// The connection hands bytes over as they come: more of them never change a response, nor an error.
fn http_reply(data: &[u8]) {
    let whole = fuzzing::http_response(data);
    let step = data.len() / 16 + 1;
    for end in (0..data.len()).step_by(step) {
        match (fuzzing::http_response(&data[..end]), &whole) {
            (Ok(None), _) | (Err(_), Err(_)) => {}
            (Ok(Some((status, body, _))), Ok(Some((later, all, keep)))) => {
                assert_eq!((status, &body), (*later, all));
                assert!(!keep, "bytes beyond the response belong to nobody");
            }
            (early, whole) => panic!("{early:?} became {whole:?}"),
        }
    }
    if let Ok(Some((status, body, _))) = whole {
        assert!((200..=999).contains(&status), "{status}");
        assert!(body.len() <= 256 * 1024);
    }
}

/// Whatever stands in the file: the keys have one that lasts, and a state of other keys counts for nothing.
fn client_state(data: &[u8]) {
    let pinned = || {
        let keys = KeyRing::parse("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("a key");
        Trust::pinned(&keys, None)
    };
    let Some(state) = State::decode(data, pinned()) else { return };
    assert!(state.trust.keys[0].until.is_none() && state.trust.root.is_none());
    assert!(state.trust == pinned() || data.windows(64).any(|digest| digest.iter().all(u8::is_ascii_hexdigit)));
}

fn client_conf(data: &[u8]) {
    const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let Some(text) = text(data) else { return };
    match Config::parse(text, Path::new("client.conf")) {
        Ok(config) => {
            assert!(config.server.tls || config.server.is_loopback() || config.is_insecure());
            assert!(!format!("{config:?}").contains(SECRET), "the secret is shown");
        }
        Err(error) => {
            let error = error.to_string();
            shown(&error);
            assert!(!error.contains(SECRET), "the secret is told: {error}");
        }
    }
}

fn server_url(data: &[u8]) {
    let Some(Ok(url)) = text(data).map(ServerUrl::parse) else { return };
    assert!(url.port > 0 && !url.host.is_empty());
    assert!(!url.authority.contains(['/', '@', '?', '#', '\\', ' ', '\r', '\n']), "{url:?}");
    shown(&url.authority);
    let scheme = if url.tls { "https" } else { "http" };
    assert_eq!(ServerUrl::parse(&format!("{scheme}://{}", url.authority)).as_ref(), Ok(&url));
}

fn duration(data: &[u8]) {
    let Some(read) = text(data).and_then(fuzzing::duration) else { return };
    if u64::try_from(read.as_millis()).is_err() {
        return; // longer than its own unit can write; the host file takes a day at most
    }
    assert_eq!(fuzzing::duration(&format!("{}ms", read.as_millis())), Some(read));
}

/// What stands behind the command does not change as whom it runs, and a name that is found was typed.
fn sudo_options(data: &[u8]) {
    let argv: Vec<Vec<u8>> = data.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let Some((user, group)) = fuzzing::sudo_run_as(&argv) else { return };
    for name in [&user, &group].into_iter().flatten() {
        assert!(argv.iter().any(|argument| argument.ends_with(name)), "{name:?} was not typed");
    }
    // Behind `--` nothing is an option.
    let mut more = argv.clone();
    more.push(b"--".to_vec());
    if let Some(before) = fuzzing::sudo_run_as(&more) {
        more.extend([b"-u".to_vec(), b"other".to_vec()]);
        assert_eq!(fuzzing::sudo_run_as(&more), Some(before));
    }
}

/// A process names itself as it likes; that moves none of its other facts.
fn procfs(data: &[u8]) {
    let _ = fuzzing::real_uid(data);
    for range in fuzzing::code_ranges(data) {
        // It becomes part of a path.
        assert!(!range.is_empty() && range.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'), "{range}");
    }
    let mut stat = b"4711 (".to_vec();
    stat.extend_from_slice(data);
    stat.extend_from_slice(b") S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 123456 20 21\n");
    assert_eq!(fuzzing::start_time(&stat), Some(123_456));
    let _ = fuzzing::start_time(data);
    // The kernel writes a name's line break as `\n`, so no line of its own can be forged.
    let name: Vec<u8> = data.iter().copied().filter(|byte| *byte != b'\n').collect();
    let status = [b"Name:\t", &*name, b"\nState:\tS\nUid:\t1000\t0\t0\t0\n"].concat();
    assert_eq!(fuzzing::real_uid(&status), Some(1000));

    let arguments = fuzzing::arguments(data);
    let mut written: Vec<u8> = Vec::new();
    for argument in &arguments {
        assert!(!argument.contains(&0));
        written.extend_from_slice(argument);
        written.push(0);
    }
    assert!(written == data || written == [data, b"\0"].concat());
    if let Some(value) = fuzzing::variable(data, "LANG") {
        assert!(!value.contains(&0));
    }
}

/// What sudo hands to its plugin: six lists, each of entries ended by zero bytes, the lists parted by an empty entry.
fn sudo_call(data: &[u8]) {
    let mut lists = vec![Vec::new()];
    for entry in data.split(|byte| *byte == 0) {
        if entry.is_empty() {
            lists.push(Vec::new());
        } else if let Some(list) = lists.last_mut() {
            list.push(entry.to_vec());
        }
    }
    let mut lists = lists.into_iter();
    let mut list = || lists.next().unwrap_or_default();
    let call = SudoCall {
        again: false,
        settings: list(),
        user_info: list(),
        submit_envp: list(),
        command_info: list(),
        argv: list(),
        envp: list(),
    };
    let (uid, pid) = fuzzing::who_calls(&call);
    let facts = match collect_call(&call, uid, pid) {
        Ok(facts) => facts,
        Err(error) => return shown(&error.to_string()),
    };
    assert_eq!(facts.argv, call.argv);
    let run = facts.run.as_ref().expect("the plugin states what runs");
    let edits = run.mode == RunMode::Edit;
    for entry in &call.envp {
        assert!(edits || !entry.starts_with(b"LD_"), "{entry:?} is let through");
    }
    for bound in &run.environment {
        assert!(call.envp.contains(&bound.0));
    }
    let host = identree_core::id::Target::Host(HostName::parse("web1").expect("a valid name"));
    if let Ok(question) = SudoChallenge::new(host, Vec::new(), facts) {
        let summary = question.summary();
        shown(&summary.action);
        for detail in &summary.details {
            shown(&detail.value);
        }
    }
}

/// `NAME=value` ended by zero bytes.
fn pam_environment(data: &[u8]) {
    let mut pairs = Vec::new();
    for entry in data.split(|byte| *byte == 0) {
        let at = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
        let (name, value) = entry.split_at(at);
        pairs.push((OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..).unwrap_or(b"").to_vec())));
    }
    let names: Vec<OsString> = pairs.iter().map(|(name, _)| name.clone()).collect();
    let twice = names
        .iter()
        .enumerate()
        .any(|(at, name)| name.as_encoded_bytes().starts_with(b"PAM_") && names[..at].contains(name));
    assert_eq!(each_once(names.into_iter()).is_err(), twice);
    let map: BTreeMap<OsString, OsString> = pairs.into_iter().collect();
    let get = |name: &str| map.get(&OsString::from(name)).cloned();
    if let Err(error) = Phase::from_variables(get) {
        shown(&error.to_string());
    }
    match PamItems::from_variables(get) {
        Ok(items) => assert!(["sudo", "sudo-i", "su", "su-l"].contains(&items.service.as_str())),
        Err(error) => shown(&error.to_string()),
    }
}

fn claim(data: &[u8]) {
    let Ok(record) = Record::decode(data) else { return };
    assert_eq!(record.encode(), data);
}
