//! `identree audit tail`.

use std::io;
use std::time::Duration;

use clap::Args;
use identree_core::audit::{Entry, EventSeq, SealedEvent};
use identree_core::store::{Store, TILE};
use identree_core::text::visible;
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

/// An entry as people read it: place, time, what, who and where, the rest. What came from outside is made visible.
pub(super) fn line(sealed: &SealedEvent) -> String {
    let event = &sealed.event;
    let mut line = format!("{}  {}  {}", sealed.seq.0, event.at, event.kind.as_str());
    let mut add = |name: &str, value: &str| {
        let shown = visible(value);
        let quoted = shown.is_empty() || shown.contains([' ', '"', '=']);
        line.push_str("  ");
        line.push_str(name);
        line.push('=');
        line.push_str(&if quoted {
            format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            shown.into_owned()
        });
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
        add(&visible(name), value);
    }
    line
}
