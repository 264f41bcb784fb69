//! One question, through the client code that PAM uses.

use std::time::Duration;

use identree_core::challenge::{CommandSource, RunAs};
use identree_core::id::{Nonce, ServiceName, UserName};
use identree_core::time::{Clock, SystemClock};
use identree_pam::transport::Watch;
use identree_pam::{Config, Facts, Terminal, Verdict};

use super::DevError;

/// How it ended, and how long the answer took to get here from the moment the server took the deciding vote.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) verdict: Verdict,
    pub(super) from_tap: Option<Duration>,
}

/// What a `sudo whoami` of this person, here, now, would state.
pub(super) fn facts(person: UserName) -> Result<Facts, DevError> {
    use std::os::unix::ffi::OsStrExt as _;
    let tty = rustix::termios::ttyname(std::io::stdin(), Vec::new()).ok();
    Ok(Facts {
        service: ServiceName::parse("sudo")?,
        requester: person,
        run_as: RunAs { user: UserName::parse("root")?, group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: std::env::current_dir().ok().map(|dir| dir.as_os_str().as_bytes().to_vec()),
        tty: tty.and_then(|name| name.into_string().ok()),
        reason: None,
        run: None,
    })
}

/// Asks and waits; blocks the thread.
pub(super) fn ask(config: &Config, facts: &Facts, nonce: Nonce, terminal: &mut dyn Terminal) -> Ended {
    let verdict = identree_pam::ask(config, facts, nonce, identree_pam::clock::now(), terminal, Watch::default());
    // The server settles and signs with the clock of this machine, so both ends of the span are on one clock.
    let here = SystemClock.now();
    let settled = match &verdict {
        Verdict::Granted(grant) => Some(grant.answer().issued),
        Verdict::Refused(answer) if answer.extra("by").is_some() => Some(answer.issued),
        _ => None,
    };
    Ended { from_tap: settled.map(|settled| here.since(settled)), verdict }
}
