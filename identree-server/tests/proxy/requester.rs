//! A host that asks: the helper's own code, in a thread.

use std::thread::JoinHandle;

use identree_core::challenge::{CommandSource, RunAs};
use identree_core::credential::Request;
use identree_core::id::{Nonce, ServiceName, UserName};
use identree_core::rng::{OsEntropy, bytes};
use identree_core::time::{Clock as _, SystemClock};
use identree_evidence::{Kind, secret as note};
use identree_pam::transport::Watch;
use identree_pam::{Config, Facts, Terminal, Verdict};

use crate::lines::Lines;

/// A question under way.
pub(crate) struct Asking {
    thread: JoinHandle<Verdict>,
    /// What the person at the terminal reads.
    pub(crate) terminal: Lines,
}

impl Terminal for Lines {
    fn say(&mut self, line: &str) {
        self.push(line.to_owned());
    }
}

impl Asking {
    /// ann types `sudo whoami` on web1.
    pub(crate) fn start(config: Config) -> Self {
        let terminal = Lines::default();
        let mut shown = terminal.clone();
        let thread = std::thread::spawn(move || {
            let (nonce, now) = (Nonce::from_bytes(bytes(&OsEntropy)), identree_pam::clock::now());
            identree_pam::ask(&config, &facts(), nonce, now, &mut shown, Watch::default())
        });
        Self { thread, terminal }
    }

    /// The address of its page, as soon as it is shown.
    pub(crate) fn page(&self) -> String {
        let line = self.terminal.after(0, "address", |line| line.contains("Approve  ") || line.contains("unreachable"));
        let page = line.split_once("Approve  ").unwrap_or_else(|| panic!("{line}")).1.trim();
        note(Kind::UserCode, page.rsplit('/').next().unwrap());
        page.to_owned()
    }

    /// How it ended, once it has.
    pub(crate) fn verdict(self) -> Verdict {
        self.thread.join().unwrap()
    }
}

/// A request by hand.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

impl Signed<'_> {
    /// The header line that proves the host, for the authority of its own file.
    pub(crate) fn authorization(&self, host: &Config) -> String {
        let (Self { method, target, body }, host_name) = (self, &host.hostname);
        let time_secs = SystemClock.now().as_secs();
        let covered = Request { method, authority: &host.server.authority, target, host: host_name, time_secs, body };
        let authorization = host.credential.authorize(&covered);
        format!("Authorization: {authorization}")
    }
}

fn facts() -> Facts {
    Facts {
        service: ServiceName::parse("sudo").unwrap(),
        requester: UserName::parse("ann").unwrap(),
        run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
        source: CommandSource::CallerCommandLine,
        argv: vec![b"sudo".to_vec(), b"whoami".to_vec()],
        cwd: None,
        tty: None,
        reason: None,
        run: None,
    }
}
