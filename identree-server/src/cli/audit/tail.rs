//! `identree audit tail`.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use clap::Args;
use identree_core::audit::{Entry, EventSeq, SealedEvent};
use identree_core::store::{Store, TILE};
use identree_core::text::{is_hidden, visible};
use identree_core::time::{Clock as _, SystemClock};

use super::{open, print};
use crate::cli::Done;

/// How often it is looked for more.
const PAUSE: Duration = Duration::from_millis(500);
/// Bundles that are read at once.
const AT_ONCE: u32 = 32;

#[derive(Debug, Args)]
pub(in crate::cli) struct TailArgs {
    /// How many entries.
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: u64,
    /// Go on as entries come.
    #[arg(short, long)]
    follow: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: TailArgs) -> Done {
    let store = open().await?;
    let mut next = store.head().await?.size.saturating_sub(arguments.lines);
    loop {
        next = match print_from(&*store, next, arguments.json).await {
            // Nobody reads any more.
            Err(error) if is_closed(&*error) => return Ok(()),
            printed => printed?,
        };
        if !arguments.follow {
            return Ok(());
        }
        SystemClock.sleep_until(SystemClock.now() + PAUSE).await;
        while store.head().await?.size <= next {
            SystemClock.sleep_until(SystemClock.now() + PAUSE).await;
        }
    }
}

fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints what is there from this entry on; tells what comes next.
async fn print_from(store: &dyn Store, mut next: u64, json: bool) -> Result<u64, Box<dyn std::error::Error>> {
    loop {
        let read = store.bundles(next / TILE, AT_ONCE).await?;
        let before = next;
        for bundle in &read {
            for (seq, entry) in (bundle.number * TILE..).zip(Entry::split(bundle)?).filter(|(seq, _)| *seq >= before) {
                let sealed = entry.sealed(EventSeq(seq))?;
                print(&if json { json_line(&sealed)? } else { line(&sealed) })?;
                next = seq + 1;
            }
        }
        if next == before {
            return Ok(next);
        }
    }
}

fn json_line(sealed: &SealedEvent) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(&sealed.event)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("seq".to_owned(), sealed.seq.0.into());
    }
    serde_json::to_string(&value)
}

/// An entry as people read it: place, time, what, who and where, the rest. What came from outside is made visible, and can look like no
/// other field.
pub(super) fn line(sealed: &SealedEvent) -> String {
    let event = &sealed.event;
    let mut line = format!("{}  {}  {}", sealed.seq.0, event.at, event.kind.as_str());
    let mut add = |name: &str, value: &str| {
        line.push_str("  ");
        line.push_str(&word(name));
        line.push('=');
        line.push_str(&word(value));
    };
    let parts = [
        ("subject", event.subject.as_ref().map(ToString::to_string)),
        ("target", event.target.as_ref().map(ToString::to_string)),
        ("actor", event.actor.as_ref().map(ToString::to_string)),
        ("via", event.via.clone()),
        ("question", event.challenge.map(|id| id.to_string())),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            add(name, &value);
        }
    }
    for (name, value) in &event.details {
        add(name, value);
    }
    line
}

/// The text as it is, or in quotes: in them a backslash begins an escape, outside them there is none. So no two texts look alike.
fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\') && !is_hidden(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    // Backslashes first: those that come after are escapes.
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
    Cow::Owned(format!("\"{}\"", visible(&escaped)))
}

#[cfg(test)]
mod tests {
    use identree_core::audit::{AuditEvent, EventKind};
    use identree_core::testkit::fakes;
    use proptest::prelude::*;

    use super::*;

    fn shown(reason: &str) -> String {
        let mut event = AuditEvent::new(fakes::event(1, EventKind::HostAdded).id, fakes::START, EventKind::HostAdded);
        event.details.insert("reason".into(), reason.into());
        let line = line(&SealedEvent { seq: EventSeq(7), event, leaf_hash: [0; 32], salt: None });
        line.strip_prefix("7  2026-01-01T00:00:00.000Z  host_added  reason=").unwrap().to_owned()
    }

    /// What a reader makes of a word: the text, and what stands behind it.
    fn read(shown: &str) -> Option<(String, &str)> {
        let Some(mut rest) = shown.strip_prefix('"') else {
            let end = shown.find(char::is_whitespace).unwrap_or(shown.len());
            return Some((shown[..end].to_owned(), &shown[end..]));
        };
        let mut text = String::new();
        loop {
            let c = rest.chars().next()?;
            rest = &rest[c.len_utf8()..];
            if c == '"' {
                return Some((text, rest));
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let escape = rest.chars().next()?;
            rest = &rest[1..];
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                    rest = after;
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                c => c,
            });
        }
    }

    #[test]
    fn what_came_from_outside_looks_like_no_other_field() {
        for (reason, shows) in [
            ("backup", "backup"),
            ("", r#""""#),
            ("a\\x3db", r#""a\\x3db""#),
            ("x  actor=root", r#""x  actor=root""#),
            ("x\"  actor=root", r#""x\"  actor=root""#),
            ("x\\\"  actor=root", r#""x\\\"  actor=root""#),
            ("x\\", r#""x\\""#),
            ("x\n8  2026", r#""x\n8  2026""#),
            ("x\\n8", r#""x\\n8""#),
            ("x\u{202e}y", r#""x\u{202e}y""#),
            ("x\\u{202e}y", r#""x\\u{202e}y""#),
            ("x\u{3000}actor", "\"x\u{3000}actor\""),
        ] {
            assert_eq!(shown(reason), shows);
        }
        assert_eq!(word("reason=x  actor"), r#""reason=x  actor""#, "names too");
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(reason in r#"[a-z =\\"\n\t\u{202e}\u{0}nu{}]{0,12}|.{0,20}"#) {
            let shown = shown(&reason);
            prop_assert!(!shown.contains(char::is_control));
            prop_assert_eq!(read(&shown), Some((reason, "")));
        }
    }
}
