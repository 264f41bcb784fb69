//! The program's log: on standard error, one event per line whatever is in it.

use std::io::{self, Write};

use identree_core::text::visible;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::Found;
use crate::telemetry::traces::{TARGET, Traces};

/// Logs from now on. The level is one word, or a filter as in `info,identree_server=debug`.
pub(super) fn start(found: &Found, unless_set: &str) -> Result<Option<Traces>, Box<dyn std::error::Error>> {
    let traces = Traces::from_found(found)?;
    let (name, level) = level(found, unless_set);
    // Spans that are for the collector alone cost nothing where there is none, whatever the level is.
    let level = format!("{level},{TARGET}={}", if traces.is_some() { "error" } else { "off" });
    let filter = filter(&level).map_err(|error| format!("{name}: {error}"))?;
    let log = tracing_subscriber::fmt::layer();
    let of_the_log = filter_fn(|of| of.target() != TARGET);
    match found.get("IDENTREE_LOG_FORMAT").map_or("text", |(format, _)| format) {
        // No colours: what else looks like a control sequence then is none of ours.
        "text" => {
            let log =
                log.with_ansi(false).with_target(false).with_writer(|| OneLine(io::stderr())).with_filter(of_the_log);
            tracing_subscriber::registry().with(filter).with(log).with(traces.as_ref().map(Traces::layer)).init();
        }
        "json" => {
            let log =
                log.json().flatten_event(true).with_span_list(false).with_writer(io::stderr).with_filter(of_the_log);
            tracing_subscriber::registry().with(filter).with(log).with(traces.as_ref().map(Traces::layer)).init();
        }
        other => return Err(format!("IDENTREE_LOG_FORMAT: \"{}\" is neither text nor json", visible(other)).into()),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic, which is a bug: {}", panic.payload_as_str().unwrap_or("without a text"));
    }));
    Ok(traces)
}

/// Levels by target cost nothing while a request runs; only what names spans and fields needs to look at each of them.
fn filter(level: &str) -> Result<Box<dyn Layer<Registry> + Send + Sync>, Box<dyn std::error::Error>> {
    if level.contains('[') {
        Ok(Box::new(EnvFilter::builder().parse(level)?))
    } else {
        Ok(Box::new(level.parse::<Targets>()?))
    }
}

/// Where the level stands, and what it is: the product's own name wins over the one that Rust programs share.
fn level<'a>(found: &'a Found, unless_set: &'a str) -> (&'static str, &'a str) {
    match (found.get("IDENTREE_LOG_LEVEL"), &found.rust_log) {
        (Some((level, _)), _) => ("IDENTREE_LOG_LEVEL", level),
        (None, Some(level)) => ("RUST_LOG", level),
        (None, None) => ("IDENTREE_LOG_LEVEL", unless_set),
    }
}

/// Writes out what would end the line, move the cursor or be read as nothing: names, paths and the errors of others stand
/// in the log, and each write is one event.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = visible(text.strip_suffix('\n').unwrap_or(&text));
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let mut out = Vec::new();
        let forged = "path=/\n2026-01-01T00:00:00Z  INFO approved by root\r\u{1b}[2K\u{202e}\n";
        OneLine(&mut out).write_all(forged.as_bytes()).unwrap();
        let written = String::from_utf8(out).unwrap();
        let expected = "path=/\\n2026-01-01T00:00:00Z  INFO approved by root\\r\\u{1b}[2K\\u{202e}\n";
        assert_eq!(written, expected);
    }
}
