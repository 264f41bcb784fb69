//! What a server asks of its hosts (`IDENTREE_CLIENT_*`), signed inside each answer as the extra text [`EXTRA`].
//!
//! The text is `name=value` pairs separated by spaces: times in milliseconds, switches `on` or `off`. A host passes over names
//! it does not know and values it cannot read. A setting of the host's own file stands where the pushed one would be weaker.

use std::fmt;
use std::time::Duration;

/// The name of the extra.
pub const EXTRA: &str = "settings";

/// How a break-glass password is made; the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PasswordType {
    /// Ten words of a list of 256: 80 bits.
    Passphrase,
    /// 24 of 55 characters: 138 bits.
    Alphanumeric,
    /// 32 random bytes: 256 bits.
    Random,
}

impl PasswordType {
    /// The name in files and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Alphanumeric => "alphanumeric",
            Self::Random => "random",
        }
    }

    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Passphrase, Self::Alphanumeric, Self::Random].into_iter().find(|one| one.as_str() == text)
    }
}

/// The settings that a server may push and a host's own file may say. `None`: not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSettings {
    /// How long a host waits for an answer in all. Longer is weaker: a forgotten question stays answerable.
    pub timeout: Option<Duration>,
    /// How long one waiting request rests at the server. Shorter is weaker: hosts ask more often.
    pub hold: Option<Duration>,
    /// Whether there is a break-glass password. One is weaker than none.
    pub break_glass: Option<bool>,
    /// How it is made. Fewer bits are weaker.
    pub password_type: Option<PasswordType>,
    /// After how many days it is changed. More are weaker.
    pub rotation_days: Option<u32>,
}

impl ClientSettings {
    /// Reads the text. What it does not know or cannot read it leaves unsaid.
    pub fn parse(text: &str) -> Self {
        let millis = |value: &str| value.parse().ok().map(Duration::from_millis);
        let mut settings = Self::default();
        for (name, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
            match name {
                "timeout" => settings.timeout = millis(value),
                "hold" => settings.hold = millis(value),
                "break_glass" => {
                    settings.break_glass = match value {
                        "on" => Some(true),
                        "off" => Some(false),
                        _ => None,
                    }
                }
                "password_type" => settings.password_type = PasswordType::parse(value),
                "rotation_days" => settings.rotation_days = value.parse().ok(),
                _ => {}
            }
        }
        settings
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What holds on a host whose own file says `local` when a server pushes `self`: of each setting the local one where the
    /// pushed one would be weaker, else the pushed one; and whichever is said where only one is.
    #[must_use]
    pub fn over(&self, local: &Self) -> Self {
        Self {
            timeout: choose(local.timeout, self.timeout, |pushed, local| pushed > local),
            hold: choose(local.hold, self.hold, |pushed, local| pushed < local),
            break_glass: choose(local.break_glass, self.break_glass, |pushed, local| pushed && !local),
            password_type: choose(local.password_type, self.password_type, |pushed, local| pushed < local),
            rotation_days: choose(local.rotation_days, self.rotation_days, |pushed, local| pushed > local),
        }
    }
}

fn choose<T: Copy>(local: Option<T>, pushed: Option<T>, weaker: impl Fn(T, T) -> bool) -> Option<T> {
    match (local, pushed) {
        (Some(local), Some(pushed)) => Some(if weaker(pushed, local) { local } else { pushed }),
        (local, pushed) => pushed.or(local),
    }
}

impl fmt::Display for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = [
            self.timeout.map(|time| ("timeout", time.as_millis().to_string())),
            self.hold.map(|time| ("hold", time.as_millis().to_string())),
            self.break_glass.map(|on| ("break_glass", if on { "on" } else { "off" }.to_owned())),
            self.password_type.map(|kind| ("password_type", kind.as_str().to_owned())),
            self.rotation_days.map(|days| ("rotation_days", days.to_string())),
        ];
        for (at, (name, value)) in pairs.into_iter().flatten().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> impl Strategy<Value = ClientSettings> {
        let time = || prop::option::of((0_u64..100_000_000).prop_map(Duration::from_millis));
        let kind =
            prop::sample::select(vec![PasswordType::Passphrase, PasswordType::Alphanumeric, PasswordType::Random]);
        (time(), time(), any::<Option<bool>>(), prop::option::of(kind), any::<Option<u32>>()).prop_map(
            |(timeout, hold, break_glass, password_type, rotation_days)| ClientSettings {
                timeout,
                hold,
                break_glass,
                password_type,
                rotation_days,
            },
        )
    }

    /// `a` is at most as strong as `b` in each setting that both say.
    fn nowhere_weaker(strong: &ClientSettings, than: &ClientSettings) -> bool {
        fn both<T>(a: Option<T>, b: Option<T>, holds: impl Fn(T, T) -> bool) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => holds(a, b),
                (a, b) => a.is_some() || b.is_none(),
            }
        }
        both(strong.timeout, than.timeout, |a, b| a <= b)
            && both(strong.hold, than.hold, |a, b| a >= b)
            && both(strong.break_glass, than.break_glass, |a, b| !a || b)
            && both(strong.password_type, than.password_type, |a, b| a >= b)
            && both(strong.rotation_days, than.rotation_days, |a, b| a <= b)
    }

    proptest! {
        #[test]
        fn the_text_round_trips(settings in settings()) {
            prop_assert_eq!(ClientSettings::parse(&settings.to_string()), settings);
        }

        #[test]
        fn a_pushed_setting_never_weakens_the_hosts_own(local in settings(), pushed in settings()) {
            let holds = pushed.over(&local);
            prop_assert!(nowhere_weaker(&holds, &local));
            prop_assert!(nowhere_weaker(&holds, &pushed));
            prop_assert_eq!(pushed.over(&holds), holds, "pushing again changes nothing");
            prop_assert_eq!(ClientSettings::default().over(&local), local);
            prop_assert_eq!(pushed.over(&ClientSettings::default()), pushed);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
            let read = ClientSettings::parse(&text);
            prop_assert_eq!(ClientSettings::parse(&read.to_string()), read);
        }
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let read = ClientSettings::parse("new=1 timeout=5000 hold=x break_glass=maybe rotation_days=7");
        let expected = ClientSettings {
            timeout: Some(Duration::from_secs(5)),
            rotation_days: Some(7),
            ..ClientSettings::default()
        };
        assert_eq!(read, expected);
    }
}
