//! The hosts and how each stands, for administrators.

use askama::Template;
use identree_core::text::visible;
use identree_core::time::Timestamp;
use identree_core::wire::heartbeat::{Finding, Level};

use super::Frame;
use crate::heartbeats::HostStatus;
use crate::web::text::{Text, fill};
use crate::web::view::duration;

/// Every host.
#[derive(Debug, Template)]
#[template(path = "hosts.html")]
pub(crate) struct HostsPage {
    pub(super) frame: Frame,
    hosts: Vec<Row>,
}

/// One host.
#[derive(Debug)]
struct Row {
    name: String,
    level: &'static str,
    word: &'static str,
    reasons: Vec<String>,
    seen: String,
    version: String,
}

impl HostsPage {
    pub(crate) fn new(frame: Frame, hosts: Vec<HostStatus>, now: Timestamp) -> Self {
        let text = frame.text;
        let row = |status: HostStatus| Row {
            name: status.name.to_string(),
            level: status.level.as_str(),
            word: match status.level {
                Level::Green => text.host_green,
                Level::Amber => text.host_amber,
                Level::Red => text.host_red,
            },
            reasons: status.findings.iter().map(|finding| reason(text, finding)).collect(),
            seen: status.beat.as_ref().map_or_else(String::new, |beat| {
                fill(text.host_seen, &[("time", &duration(now.since(beat.received_at), text))])
            }),
            version: status.beat.map_or_else(String::new, |beat| {
                let heartbeat = beat.heartbeat;
                format!("{} · {}", visible(&heartbeat.version), visible(&heartbeat.os_info))
            }),
        };
        Self { hosts: hosts.into_iter().map(row).collect(), frame }
    }
}

fn reason(text: &Text, finding: &Finding) -> String {
    let with = |template: &str, name: &'static str, value: String| fill(template, &[(name, &value)]);
    match finding {
        Finding::NoGate(service) => with(text.host_no_gate, "service", visible(service).into_owned()),
        Finding::HalfGate(service) => with(text.host_half_gate, "service", visible(service).into_owned()),
        Finding::NoPlugin => text.host_no_plugin.to_owned(),
        Finding::NoBreakGlass => text.host_no_break_glass.to_owned(),
        Finding::OldBreakGlass(days) => with(text.host_old_break_glass, "days", days.to_string()),
        Finding::UsedBreakGlass(times) => with(text.host_used_break_glass, "times", times.to_string()),
        Finding::ClockOff(secs) => with(text.host_clock_off, "secs", secs.to_string()),
        Finding::Quiet(minutes) | Finding::Lost(minutes) => with(text.host_quiet, "minutes", minutes.to_string()),
        Finding::Never => text.host_never.to_owned(),
    }
}
