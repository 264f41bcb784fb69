//! Under Debian's real OpenSSH: keyboard-interactive, and a key with PAM's account phase.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use identree_core::challenge::LoginKind;
use identree_core::grant::Decision;
use identree_core::wire::login::Opening;

use crate::place::machine;
use crate::sandbox::{Sandbox, require};
use crate::screen::Screen;
use crate::server::{Server, ask_then};

/// An sshd for each connection to a port of loopback, as inetd would start it, in the sandbox.
struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    /// `None` where there is no OpenSSH.
    fn start(sandbox: Sandbox) -> Option<Self> {
        Self::with(sandbox, "")
    }

    /// With this line in its configuration.
    fn with(sandbox: Sandbox, line: &str) -> Option<Self> {
        let programs = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"];
        if !programs.iter().all(|program| require(program, Path::new(program).exists())) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "ann"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(key)).status();
            assert!(made.unwrap().success());
        }
        let conf = format!(
            "HostKey {}\nUsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n\
             AuthorizedKeysFile {}\nStrictModes no\nPidFile none\nLoginGraceTime 60\nLogLevel VERBOSE\n{line}\n",
            path("host").display(),
            path("ann.pub").display()
        );
        std::fs::write(path("conf"), conf).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let conf = path("conf").display().to_string();
        // Neither its log nor its records of who was here belong to this machine's.
        let start =
            "mkdir -m 755 /run/sshd; mount -t tmpfs tmpfs /var/log; exec /usr/sbin/sshd -i -E /run/log -f \"$1\"";
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let mut command = sandbox.command(start, &conf);
                let (read, write) = (OwnedFd::from(socket.try_clone().unwrap()), OwnedFd::from(socket));
                let child = command.stdin(read).stdout(write).stderr(identree_evidence::stdio("sshd")).spawn();
                child.unwrap().wait().unwrap();
            }
        });
        Some(Self { folder, port })
    }

    /// `ssh` at a terminal of its own, by this way to authenticate.
    fn ssh(&self, way: &str) -> Screen {
        let mut options = String::from(
            "-F /dev/null -tt -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        );
        options.push_str(&format!(" -o PreferredAuthentications={way} -i {}", self.key().display()));
        let mut command = Command::new("script");
        command.args(["-qec", &format!("ssh {options} -p {} ann@127.0.0.1 id -un", self.port), "/dev/null"]);
        command.stderr(Stdio::inherit());
        Screen::of(command)
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("ann")
    }
}

#[test]
fn the_link_is_shown_before_anybody_is_asked_to_press_a_key() {
    let server = Server::start(ask_then(Decision::Granted));
    let Some(sshd) = machine(&server, "ALL").and_then(Sshd::start) else { return };
    let mut screen = sshd.ssh("keyboard-interactive");
    let shown = screen.wait_for("Press Enter when it is approved");
    assert!(shown.contains("ann asks to log in to web1 from 127.0.0.1"), "{shown}");
    assert!(shown.contains("https://id.example/approve/AB"), "{shown}");
    assert_eq!(server.lines(), ["POST"], "nothing is waited for before the key");
    screen.keys("\n");
    let (code, output) = screen.finish();
    assert!(code == 0 && output.lines().any(|line| line == "ann"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "auth and account ask once: {output}");
    let Some(Opening::Login(asked)) = server.seen()[0].opening.clone() else { panic!("a login's question") };
    let asked = (asked.kind, asked.username.to_string(), asked.remote);
    assert_eq!(asked, (LoginKind::SshLogin, "ann".to_owned(), Some("127.0.0.1".to_owned())));
}

#[test]
fn a_denied_login_is_not_asked_again() {
    let server = Server::start(ask_then(Decision::Denied));
    let Some(sshd) = machine(&server, "ALL").and_then(Sshd::start) else { return };
    let mut screen = sshd.ssh("keyboard-interactive");
    screen.wait_for("Press Enter when it is approved");
    screen.keys("\n");
    let (code, output) = screen.finish();
    assert!(code != 0 && !output.lines().any(|line| line == "ann"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "{output}");
}

#[test]
fn with_a_key_the_account_phase_asks_unseen() {
    for decision in [Decision::Granted, Decision::Denied] {
        let server = Server::start(ask_then(decision));
        let Some(sshd) = machine(&server, "ALL").and_then(Sshd::start) else { return };
        let (code, output) = sshd.ssh("publickey").finish();
        assert_eq!(server.lines(), ["POST", "GET"], "{output}");
        let granted = decision == Decision::Granted;
        assert_eq!(code == 0, granted, "{output}");
        assert_eq!(output.lines().any(|line| line == "ann"), granted, "{output}");
    }
}

#[test]
fn after_a_key_the_question_stands_in_a_prompt() {
    let server = Server::start(ask_then(Decision::Granted));
    let methods = "AuthenticationMethods publickey,keyboard-interactive:pam";
    let Some(sshd) = machine(&server, "ALL").and_then(|sandbox| Sshd::with(sandbox, methods)) else { return };
    let (code, output) = sshd.ssh("keyboard-interactive").finish();
    assert!(code != 0 && server.lines().is_empty(), "without the key nothing is asked: {output}");
    let mut screen = sshd.ssh("publickey,keyboard-interactive");
    screen.wait_for("Press Enter when it is approved");
    screen.keys("\n");
    let (code, output) = screen.finish();
    assert!(code == 0 && output.lines().any(|line| line == "ann"), "{output}");
    assert_eq!(server.lines(), ["POST", "GET"], "{output}");
}
