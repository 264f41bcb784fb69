//! What is left behind when the password was used: a line that survives a restart, and one for the system's log.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use identree_core::text::visible;

use crate::state::{State, StateError};

const NAME: &str = "used";
/// 1 MiB: ten thousand uses.
const MAX_BYTES: u64 = 1024 * 1024;
/// authpriv (10) and alert (1), RFC 3164 §4.1.1: whoever watches one thing watches this.
const PRIORITY: u8 = 10 * 8 + 1;

/// One use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub user: String,
    /// For what: the PAM service.
    pub service: String,
    /// As whom.
    pub run_as: String,
}

/// Writes a use down, and to disk, before it may have any effect.
pub(super) fn record(state: &State, used: &Use) -> Result<(), StateError> {
    let word = |text: &str| visible(text).replace(' ', "_");
    let line = format!("{} {} {} {}", used.at, word(&used.user), word(&used.service), word(&used.run_as));
    state.append(NAME, &line)?;
    tell(&format!(
        "the break-glass password was used: user={} service={} run-as={}",
        word(&used.user),
        word(&used.service),
        word(&used.run_as)
    ));
    Ok(())
}

/// Every use that was written down, oldest first. A line that was torn by a crash is left out.
///
/// # Errors
/// [`StateError`] if they cannot be read.
pub fn uses(state: &State) -> Result<Vec<Use>, StateError> {
    let bytes = state.read(NAME, MAX_BYTES)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let parsed = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        let mut word = || words.next().map(str::to_owned);
        Some(Use { at, user: word()?, service: word()?, run_as: word()? })
    });
    Ok(parsed.collect())
}

/// One line for the system's log. Where there is none, the file has it.
pub(super) fn tell(text: &str) {
    let line = format!("<{PRIORITY}>identree[{}]: {text}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_write_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(line.as_bytes(), "/dev/log")
    });
    let _ = sent;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_kept_in_order_and_names_cannot_forge_another() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::create(&folder.path().join("glass"), rustix::process::geteuid().as_raw()).unwrap();
        let one = Use { at: 5, user: "ann".into(), service: "sudo".into(), run_as: "root".into() };
        record(&state, &one).unwrap();
        record(&state, &Use { at: 6, user: "x 7 bob\n7 bob".into(), ..one.clone() }).unwrap();
        state.append(NAME, "8 torn").unwrap();
        let found = uses(&state).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0], found[1].at), (&one, 6));
        assert!(!found[1].user.contains(' ') && !found[1].user.contains('\n'));
    }
}
