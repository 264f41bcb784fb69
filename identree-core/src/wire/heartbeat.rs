//! `POST /api/agent/heartbeat`: a host says how its gate stands, and what follows from it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where heartbeats go.
pub const PATH: &str = "/api/agent/heartbeat";

/// The largest body, in bytes: sixteen services with room to spare.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The most services that a host tells of.
pub const MAX_SERVICES: usize = 16;
/// The longest of its texts, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// After this many days a break-glass password is old.
const OLD_DAYS: i64 = 90;
/// More than that many seconds off is told before requests are refused, at 90.
const CLOCK_OFF_SECS: i64 = 30;
/// Without a word for this long (two intervals of five minutes) a host is looked after, in seconds.
const QUIET_SECS: i64 = 10 * 60;
/// And for this long it is lost.
const LOST_SECS: i64 = 60 * 60;

/// What a host tells of itself. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// [`super::v1::VERSION`].
    pub v: u8,
    /// Of the program that sends it.
    pub version: String,
    /// The operating system's own name for itself.
    pub os_info: String,
    /// SHA-256 of the host file without its secrets, in hexadecimal: two hosts with the same settings have the same.
    pub config_digest: String,
    /// The host's clock, in seconds since 1970.
    pub time_secs: i64,
    /// The PAM services that make root of people, and where each asks.
    pub services: BTreeMap<String, Asks>,
    /// Whether sudo loads the approval plugin.
    pub plugin: bool,
    /// The way back.
    pub break_glass: BreakGlass,
}

/// Where a PAM service asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// In *auth*.
    pub auth: bool,
    /// In *account*, which `NOPASSWD` rules and cached tickets do not skip.
    pub account: bool,
}

/// A host's break-glass password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Whether there is one that can be used.
    pub usable: bool,
    /// When it was made, in seconds since 1970.
    pub created_secs: i64,
    /// How often it was used since.
    pub used: u32,
}

/// What the server says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// [`super::v1::VERSION`].
    pub v: u8,
    /// How the host stands there.
    pub status: Level,
}

/// How a host stands; the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing to do.
    Green,
    /// Somebody should look after it.
    Amber,
    /// The gate is open, or nobody knows.
    Red,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Amber => "amber",
            Self::Red => "red",
        }
    }

    /// The worst of what was found.
    pub fn of(findings: &[Finding]) -> Self {
        findings.iter().map(Finding::level).max().unwrap_or(Self::Green)
    }
}

/// One thing to do about a host: a closed list, so that every language has its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A service makes root of people and asks nowhere.
    NoGate(String),
    /// A service asks in *auth* alone, or in *account* alone.
    HalfGate(String),
    /// sudo runs without the plugin that knows what will run.
    NoPlugin,
    /// There is no break-glass password that could be used.
    NoBreakGlass,
    /// It is that many days old.
    OldBreakGlass(i64),
    /// It was used that often since it was made.
    UsedBreakGlass(u32),
    /// The host's clock is off by that many seconds.
    ClockOff(i64),
    /// It has said nothing for that many minutes.
    Quiet(i64),
    /// It has said nothing for that many minutes, which is too long.
    Lost(i64),
    /// It has never said anything.
    Never,
}

impl Finding {
    /// How bad that is.
    pub const fn level(&self) -> Level {
        match self {
            Self::NoGate(_) | Self::HalfGate(_) | Self::Lost(_) => Level::Red,
            _ => Level::Amber,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGate(service) => write!(f, "{service} asks nobody"),
            Self::HalfGate(service) => write!(f, "{service} asks in one phase only"),
            Self::NoPlugin => f.write_str("sudo runs without the approval plugin"),
            Self::NoBreakGlass => f.write_str("there is no break-glass password"),
            Self::OldBreakGlass(days) => write!(f, "the break-glass password is {days} days old"),
            Self::UsedBreakGlass(times) => write!(
                f,
                "the break-glass password was used (times: {times}); rotate-breakglass on the host makes a new one"
            ),
            Self::ClockOff(secs) => write!(f, "the clock is off by {secs} s"),
            Self::Quiet(minutes) | Self::Lost(minutes) => write!(f, "no heartbeat for {minutes} min"),
            Self::Never => f.write_str("no heartbeat yet"),
        }
    }
}

impl Heartbeat {
    /// Whether every text and list is as long as it may be.
    pub fn is_bounded(&self) -> bool {
        let texts = [&self.version, &self.os_info, &self.config_digest].into_iter().chain(self.services.keys());
        self.services.len() <= MAX_SERVICES && texts.into_iter().all(|text| text.len() <= MAX_TEXT_BYTES)
    }

    /// What there is to do about this host, by the clock of whoever looks, in seconds since 1970.
    pub fn findings(&self, now_secs: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        for (service, asks) in &self.services {
            match (asks.auth, asks.account) {
                (true, true) => {}
                (false, false) => found.push(Finding::NoGate(service.clone())),
                _ => found.push(Finding::HalfGate(service.clone())),
            }
        }
        if !self.plugin {
            found.push(Finding::NoPlugin);
        }
        let BreakGlass { usable, created_secs, used } = self.break_glass;
        let days = now_secs.saturating_sub(created_secs) / 86_400;
        if !usable {
            found.push(Finding::NoBreakGlass);
        } else if days > OLD_DAYS {
            found.push(Finding::OldBreakGlass(days));
        }
        if used > 0 {
            found.push(Finding::UsedBreakGlass(used));
        }
        found
    }

    /// What the server finds besides: how far the clock was off when the heartbeat came, at `received_secs`.
    pub fn clock_off(&self, received_secs: i64) -> Option<Finding> {
        let off = self.time_secs.saturating_sub(received_secs);
        (off.unsigned_abs() > CLOCK_OFF_SECS.unsigned_abs()).then_some(Finding::ClockOff(off))
    }
}

/// What follows from the last word of a host having come at `received_secs`.
pub const fn silence(received_secs: i64, now_secs: i64) -> Option<Finding> {
    let secs = now_secs.saturating_sub(received_secs);
    match secs {
        ..QUIET_SECS => None,
        QUIET_SECS..LOST_SECS => Some(Finding::Quiet(secs / 60)),
        _ => Some(Finding::Lost(secs / 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Heartbeat {
        let both = Asks { auth: true, account: true };
        Heartbeat {
            v: 1,
            version: "0.1.0".into(),
            os_info: "Debian".into(),
            config_digest: "ab".into(),
            time_secs: 1_000_000,
            services: [("sudo".to_owned(), both), ("sudo-i".to_owned(), both)].into(),
            plugin: true,
            break_glass: BreakGlass { usable: true, created_secs: 999_000, used: 0 },
        }
    }

    #[test]
    fn green_is_a_host_with_nothing_to_do() {
        let now = 1_000_000;
        let level = |heartbeat: &Heartbeat| Level::of(&heartbeat.findings(now));
        assert_eq!(good().findings(now), []);
        assert_eq!(level(&Heartbeat { plugin: false, ..good() }), Level::Amber);
        let glass = |glass| Heartbeat { break_glass: glass, ..good() };
        assert_eq!(level(&glass(BreakGlass { used: 1, ..good().break_glass })), Level::Amber);
        assert_eq!(level(&glass(BreakGlass { usable: false, ..good().break_glass })), Level::Amber);
        let old = glass(BreakGlass { created_secs: now - 91 * 86_400, ..good().break_glass });
        assert_eq!(old.findings(now), [Finding::OldBreakGlass(91)]);
        for (asks, finding) in [
            (Asks { auth: false, account: false }, Finding::NoGate("sudo".into())),
            (Asks { auth: true, account: false }, Finding::HalfGate("sudo".into())),
        ] {
            let mut half = good();
            half.services.insert("sudo".into(), asks);
            assert_eq!((half.findings(now), level(&half)), (vec![finding], Level::Red));
        }
    }

    #[test]
    fn silence_and_clocks_are_told_in_steps() {
        assert_eq!(silence(1000, 1000 + 599), None);
        assert_eq!(silence(1000, 1000 + 600), Some(Finding::Quiet(10)));
        assert_eq!(silence(1000, 1000 + 3600), Some(Finding::Lost(60)));
        assert_eq!(silence(2000, 1000), None, "a clock that went back");
        assert_eq!(good().clock_off(1_000_030), None);
        assert_eq!(good().clock_off(1_000_031), Some(Finding::ClockOff(-31)));
    }

    #[test]
    fn what_is_too_much_is_seen() {
        assert!(good().is_bounded());
        assert!(!Heartbeat { os_info: "x".repeat(257), ..good() }.is_bounded());
        let asks = Asks { auth: true, account: true };
        let services = (0..17).map(|n| (n.to_string(), asks)).collect();
        assert!(!Heartbeat { services, ..good() }.is_bounded());
        let text = serde_json::to_string(&good()).unwrap();
        assert!(serde_json::from_str::<Heartbeat>(&text.replacen('{', "{\"new\":1,", 1)).is_err());
    }
}
