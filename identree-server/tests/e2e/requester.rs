//! Somebody whose `sudo` waits: the host client that PAM uses, in a thread.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use identree_core::challenge::{CommandSource, RunAs, SudoFacts};
use identree_core::id::{Nonce, ServiceName, UserName};
use identree_core::rng::{OsEntropy, bytes};
use identree_pam::Verdict;
use identree_pam::ask;
use identree_pam::clock::now;
use identree_pam::config::Config;
use identree_pam::terminal::Terminal;
use identree_pam::transport::Watch;

use crate::world::{PATIENCE, World};

/// A question that was asked and waits.
pub(crate) struct Waiting {
    /// The address that the terminal shows.
    pub(crate) url: String,
    /// The code that the terminal shows.
    pub(crate) code: String,
    thread: JoinHandle<Verdict>,
    lines: Receiver<String>,
    caller: Child,
}

/// What is asked.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) host: &'static str,
    pub(crate) user: &'static str,
    pub(crate) argv: Vec<String>,
    pub(crate) reason: Option<&'static str>,
}

impl Request {
    /// `user` runs `sudo …` on `host`.
    pub(crate) fn new(user: &'static str, host: &'static str, command: &[&str]) -> Self {
        let argv = std::iter::once("sudo").chain(command.iter().copied()).map(str::to_owned).collect();
        Self { host, user, argv, reason: None }
    }

    /// Asks, and returns when the terminal has shown code and address.
    pub(crate) fn ask(self, world: &World) -> Waiting {
        let config = Config::parse(world.client_conf(self.host), Path::new("client.conf")).unwrap();
        let facts = SudoFacts {
            service: ServiceName::parse("sudo").unwrap(),
            requester: UserName::parse(self.user).unwrap(),
            run_as: RunAs { user: UserName::parse("root").unwrap(), group: None },
            source: CommandSource::CallerCommandLine,
            argv: self.argv.into_iter().map(String::into_bytes).collect(),
            cwd: Some(format!("/home/{}", self.user).into_bytes()),
            tty: Some("/dev/pts/3".to_owned()),
            reason: self.reason.map(str::to_owned),
            run: None,
        };
        // Stands for the sudo process: the client takes the question back when it is gone.
        let caller = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let watch = Watch::default().caller(caller.id());
        let (sender, lines) = channel();
        let nonce = Nonce::from_bytes(bytes(&OsEntropy));
        let thread = std::thread::spawn(move || ask(&config, &facts, nonce, now(), &mut Screen(sender), watch));
        let (mut code, mut url) = (None, None);
        while code.is_none() || url.is_none() {
            let line = lines.recv_timeout(PATIENCE).unwrap();
            let line = line.trim();
            assert!(!line.contains("unreachable") && !line.contains("not set up"), "{line}");
            code = line.strip_prefix("Code").map(|code| code.trim().to_owned()).or(code);
            url = line.strip_prefix("Approve").map(|url| url.trim().to_owned()).or(url);
        }
        let (url, code) = (url.unwrap(), code.unwrap());
        identree_evidence::secret(identree_evidence::Kind::UserCode, &code);
        Waiting { url, code, thread, lines, caller }
    }
}

struct Screen(Sender<String>);

impl Terminal for Screen {
    fn say(&mut self, line: &str) {
        let _ = self.0.send(line.to_owned());
    }
}

impl Waiting {
    /// The six digits.
    pub(crate) fn number(&self) -> &str {
        &self.code[7..]
    }

    /// Whether the client is done.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.thread.is_finished()
    }

    /// The last line on the terminal, and whether the command may run. The client has checked the signature.
    pub(crate) fn end(mut self) -> (bool, String) {
        let verdict = self.thread.join().unwrap();
        let last = self.lines.iter().last().unwrap_or_default();
        let _ = self.caller.kill();
        let _ = self.caller.wait();
        (matches!(verdict, Verdict::Granted(_)), last)
    }

    /// The person presses Ctrl-C: the process that asked is gone.
    pub(crate) fn interrupt(mut self) -> (bool, String) {
        let _ = self.caller.kill();
        let _ = self.caller.wait();
        self.end()
    }
}
