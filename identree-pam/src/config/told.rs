//! What the server tells a host: taken over when the host file is read, and kept when there is something new.

use std::path::Path;
use std::time::Duration;

use identree_core::grant::{Answer, Trust};
use identree_core::time::Timestamp;
use identree_core::wire::settings::{ClientSettings, EXTRA, PasswordType};
use identree_core::wire::v1::MAX_WAIT_SECS;

use super::state::{Lock, State};
use super::{Config, ConfigError, Read, parse};
use crate::clock::calendar_secs;
use crate::verdict::Verdict;

/// How long to wait for an answer where nobody says.
const TIMEOUT: Duration = Duration::from_secs(120);
const HOLD: Duration = Duration::from_secs(MAX_WAIT_SECS as u64);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the host file itself says of the settings that a server may push.
pub(super) fn local(settings: &Read<'_>, path: &Path) -> Result<ClientSettings, ConfigError> {
    let wrong = |line, problem: String| ConfigError::Line { path: path.to_owned(), line, problem };
    let span = |key: &'static str, most: Duration| match settings.get(key) {
        None => Ok(None),
        Some((line, text)) => match parse::duration(text).filter(|span| (SECOND..=most).contains(span)) {
            None => Err(wrong(*line, format!("{key} must be a time like 90s or 5m, from {SECOND:?} to {most:?}"))),
            span => Ok(span),
        },
    };
    let break_glass = match settings.get("IDENTREE_BREAKGLASS_ENABLED").copied() {
        None => None,
        Some((_, "true")) => Some(true),
        Some((_, "false")) => Some(false),
        Some((line, _)) => return Err(wrong(line, "IDENTREE_BREAKGLASS_ENABLED must be true or false".into())),
    };
    let password_type = match settings.get("IDENTREE_BREAKGLASS_PASSWORD_TYPE") {
        None => None,
        Some((line, text)) => Some(PasswordType::parse(text).ok_or_else(|| {
            wrong(*line, "IDENTREE_BREAKGLASS_PASSWORD_TYPE must be random, alphanumeric or passphrase".into())
        })?),
    };
    let rotation_days = match settings.get("IDENTREE_BREAKGLASS_ROTATION_DAYS") {
        None => None,
        Some((line, text)) => Some(text.parse().ok().filter(|days| (1..=3650).contains(days)).ok_or_else(|| {
            wrong(*line, "IDENTREE_BREAKGLASS_ROTATION_DAYS must be a number of days from 1 to 3650".into())
        })?),
    };
    let timeout = span("IDENTREE_TIMEOUT", DAY)?;
    Ok(ClientSettings {
        timeout,
        hold: span("IDENTREE_POLL_INTERVAL", HOLD)?,
        break_glass,
        password_type,
        rotation_days,
    })
}

impl Config {
    /// Goes by what the server has told: its newer decision keys, and its settings where they are no weaker than the file's.
    pub(super) fn take_over(&mut self) {
        if let Ok(keys) = self.told.trust.ring(self.read_at) {
            self.keys = keys;
        }
        self.settings = self.told.settings.over(&self.local);
        self.timeout = self.settings.timeout.unwrap_or(TIMEOUT).clamp(SECOND, DAY);
        self.hold = self.settings.hold.unwrap_or(HOLD).clamp(SECOND, HOLD);
        if self.settings.break_glass == Some(false) {
            self.break_glass = None;
        }
    }

    /// Keeps what came with an answer, if it is new. A host whose folder cannot be written is told again each time.
    pub(crate) fn remember(&self, trust: &Trust, verdict: Option<&Verdict>) {
        let answer = match verdict {
            Some(Verdict::Granted(grant)) => Some(grant.answer()),
            Some(Verdict::Refused(answer)) => Some(&**answer),
            _ => None,
        };
        if let Some(path) = self.path.as_deref().filter(|_| self.told_by(trust, answer) != self.told) {
            let _ = self.advance(path, trust, answer);
        }
    }

    /// Looks again at what is kept before it is changed. Where another process has learned of keys meanwhile, or enrolled anew, this
    /// one's word comes from keys that may have ended: nothing is changed, and the next answer tells again.
    fn advance(&self, path: &Path, trust: &Trust, answer: Option<&Answer>) -> Result<(), Box<dyn std::error::Error>> {
        let lock = Lock::of(path)?;
        let fresh = Self::load(path, self.owner)?;
        if fresh.pinned != self.pinned || fresh.told.trust != self.told.trust {
            return Ok(());
        }
        let state = fresh.told_by(trust, answer);
        if state != fresh.told {
            state.keep(&lock, path, &fresh.pinned)?;
        }
        Ok(())
    }

    /// What is known after a proven answer; settings of an answer older than the last one count for nothing.
    fn told_by(&self, trust: &Trust, answer: Option<&Answer>) -> State {
        let mut state = self.told.clone();
        if trust.epoch > state.trust.epoch {
            state.trust = trust.clone();
        }
        if let Some((answer, text)) = answer.and_then(|answer| Some((answer, answer.extra(EXTRA)?)))
            && answer.issued >= state.settings_at
        {
            let settings = ClientSettings::parse(text);
            if settings != state.settings {
                (state.settings, state.settings_at) = (settings, answer.issued);
            }
        }
        state
    }
}

/// Now, by the calendar.
pub(super) fn read_at() -> Timestamp {
    Timestamp::from_secs(calendar_secs())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use identree_core::credential::HostKey;
    use identree_core::grant::{Decision, PublicKey, TrustedKey};
    use identree_core::id::{ChallengeId, ChallengeKind, HostName, Nonce, Target, UserName};

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "IDENTREE_SERVER_URL=https://id.example\nIDENTREE_HOSTNAME=web1\nIDENTREE_SHARED_SECRET={}\n\
             IDENTREE_DECISION_KEYS=11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n{more}",
            "ab".repeat(32)
        );
        Config::parse(&text, Path::new("client.conf")).unwrap()
    }

    fn answer(issued: i64, settings: &str) -> Answer {
        Answer {
            decision: Decision::Denied,
            challenge: ChallengeId::from_bytes([0; 16]),
            target: Target::Host(HostName::parse("web1").unwrap()),
            nonce: Nonce::from_bytes([0; 32]),
            kind: ChallengeKind::parse("sudo").unwrap(),
            requester: UserName::parse("ann").unwrap(),
            run_as_user: None,
            run_as_group: None,
            payload_sha256: [0; 32],
            issued: Timestamp::from_secs(issued),
            expires: Timestamp::from_secs(issued + 30),
            extras: vec![(EXTRA.to_owned(), settings.to_owned())],
        }
    }

    fn on_disk() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.conf");
        let text = format!(
            "IDENTREE_SERVER_URL=https://id.example\nIDENTREE_HOSTNAME=web1\nIDENTREE_SHARED_SECRET={}\n\
             IDENTREE_DECISION_KEYS={}\n",
            "ab".repeat(32),
            key(1)
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    fn load(path: &Path) -> Config {
        Config::load(path, rustix::process::geteuid().as_raw()).unwrap()
    }

    fn key(seed: u8) -> PublicKey {
        HostKey::from_seed(&[seed; 32]).public()
    }

    fn trust(epoch: u64, seed: u8) -> Trust {
        Trust { epoch, keys: vec![TrustedKey { key: key(seed), until: None }], root: None }
    }

    fn refused(issued: i64, settings: &str) -> Verdict {
        Verdict::Refused(Box::new(answer(issued, settings)))
    }

    #[test]
    fn a_process_that_was_stopped_brings_no_old_key_back() {
        let (_folder, path) = on_disk();
        let stopped = load(&path);
        load(&path).remember(&trust(2, 2), None);
        assert_eq!(load(&path).keys.keys(), [key(2)]);
        // It read its answer before the rotation, or one that somebody made with the key that has ended.
        stopped.remember(&stopped.pinned, Some(&refused(9, "timeout=3600000")));
        stopped.remember(&trust(99, 1), Some(&refused(9, "timeout=3600000")));
        let now = load(&path);
        assert_eq!((now.told.trust.epoch, now.keys.keys(), now.timeout), (2, &[key(2)][..], TIMEOUT));
    }

    #[test]
    fn newer_settings_stand_against_a_process_that_was_stopped_and_a_held_lock_holds_up_nobody() {
        let (_folder, path) = on_disk();
        let stopped = load(&path);
        load(&path).remember(&stopped.pinned, Some(&refused(9, "timeout=60000")));
        stopped.remember(&stopped.pinned, Some(&refused(5, "timeout=3600000")));
        assert_eq!(load(&path).timeout.as_secs(), 60);
        let (held, half) = (Lock::of(&path).unwrap(), path.with_file_name("client.state.new"));
        std::fs::write(&half, "{").unwrap();
        stopped.remember(&stopped.pinned, Some(&refused(10, "timeout=30000")));
        assert_eq!(load(&path).timeout.as_secs(), 60, "told again next time");
        assert_eq!(std::fs::read(&half).unwrap(), b"{", "who has the lock is still writing that");
        drop(held);
        stopped.remember(&stopped.pinned, Some(&refused(10, "timeout=30000")));
        assert_eq!(load(&path).timeout.as_secs(), 30);
    }

    #[test]
    fn many_that_remember_at_once_leave_it_whole() {
        let (_folder, path) = on_disk();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for turn in 0..25 {
                        // Loading panics where the state is damaged.
                        let config = load(path);
                        config.remember(&config.pinned, Some(&refused(turn, &format!("timeout={thread}000"))));
                    }
                });
            }
        });
        assert!(load(&path).told.settings.timeout.is_some());
    }

    fn after(mut config: Config, answers: &[Answer]) -> Config {
        for answer in answers {
            config.told = config.told_by(&config.pinned.clone(), Some(answer));
        }
        config.take_over();
        config
    }

    #[test]
    fn a_pushed_setting_holds_unless_the_file_is_stricter() {
        let pushed = answer(5, "timeout=60000 hold=10000 break_glass=on rotation_days=30 password_type=alphanumeric");
        let free = after(config(""), std::slice::from_ref(&pushed));
        assert_eq!((free.timeout.as_secs(), free.hold.as_secs()), (60, 10));
        assert!(free.break_glass.is_some());
        assert_eq!(free.settings.rotation_days, Some(30));
        let strict = config(
            "IDENTREE_TIMEOUT=30s\nIDENTREE_POLL_INTERVAL=20s\nIDENTREE_BREAKGLASS_ENABLED=false\n\
             IDENTREE_BREAKGLASS_ROTATION_DAYS=7\nIDENTREE_BREAKGLASS_PASSWORD_TYPE=random\n",
        );
        let strict = after(strict, std::slice::from_ref(&pushed));
        assert_eq!((strict.timeout.as_secs(), strict.hold.as_secs()), (30, 20));
        assert!(strict.break_glass.is_none(), "a server does not open a way in that the host has closed");
        assert_eq!(strict.settings.rotation_days, Some(7));
        assert_eq!(strict.settings.password_type, Some(PasswordType::Random));
        let off = after(config("IDENTREE_BREAKGLASS_ENABLED=true\n"), &[answer(5, "break_glass=off")]);
        assert!(off.break_glass.is_none());
    }

    #[test]
    fn settings_come_with_newer_answers_only_and_can_be_taken_back() {
        let newer = answer(9, "timeout=60000");
        let told = after(config(""), &[newer.clone(), answer(5, "timeout=3600000")]);
        assert_eq!(told.timeout.as_secs(), 60);
        let back = after(config(""), &[newer, answer(10, "")]);
        assert_eq!(back.timeout, TIMEOUT);
    }
}
