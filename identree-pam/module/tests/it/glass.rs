//! The break-glass password: real sudo, the module in its stack, a server that is not there.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use identree_core::grant::Decision;
use identree_core::secret::Secret;
use identree_pam::glass::HashFile;

use crate::place::stack;
use crate::sandbox::{Running, Sandbox, require};
use crate::screen::Screen;
use crate::server::{Server, ask_then};

const PASSWORD: &str = "correct-horse-battery-staple-17";

/// A host whose server is gone, with a password.
struct Host {
    sandbox: Sandbox,
    server: Server,
    conf: PathBuf,
}

impl Host {
    fn new(more: &str) -> Option<Self> {
        let server = Server::start(ask_then(Decision::Denied));
        let folder = server.folder.path();
        let hash = folder.join("hash");
        HashFile::of(&Secret::new(PASSWORD.into()), 1_700_000_000).unwrap().save(&hash).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = server.conf().lines().find(|line| line.starts_with("IDENTREE_SERVER_URL")).unwrap().to_owned();
        let gone = server.conf().replace(&url, &format!("IDENTREE_SERVER_URL=https://127.0.0.1:{port}"));
        let conf = format!("{gone}IDENTREE_BREAKGLASS_FILE={}\n{more}", hash.display());
        let conf = server.write_conf(&conf);
        let lines = stack(&format!("config={}", conf.display())).join("\n");
        let sandbox = Sandbox::with_pam(&lines, "ALL")?;
        Some(Self { sandbox, server, conf })
    }

    /// What root prepares before anybody comes.
    fn prepared() -> String {
        let glass = "/var/lib/identree-host/glass";
        format!("mount -t tmpfs -o mode=0755 tmpfs /var/lib; mkdir -m 700 /var/lib/identree-host {glass}; set +e; ")
    }

    /// A command line of ann's; `after` is what root looks at afterwards.
    fn run(&self, line: &str, after: &str) -> (i32, String) {
        let ann = "setpriv --reuid=64001 --regid=64001 --clear-groups";
        let last = format!("{}{ann} sh -c \"$1\"; code=$?; {after}; exit $code", Self::prepared());
        let running: Running = self.sandbox.start(&last, &format!("exec 2>&1; {line}"));
        running.finish()
    }
}

const USED: &str = "cat /var/lib/identree-host/glass/used 2>/dev/null";

#[test]
fn the_right_password_opens_once_per_sudo_and_leaves_a_line() {
    let Some(host) = Host::new("") else { return };
    // One password per sudo: account passes on what auth was told.
    let (code, output) = host.run(&format!("printf '{PASSWORD}\\n' | sudo -S whoami"), USED);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("unreachable") && output.contains("its use is recorded"), "{output}");
    assert!(output.lines().any(|line| line.ends_with("root")) && output.contains(" ann sudo root\n"), "{output}");
    assert!(!output.contains(PASSWORD), "{output}");
    assert_eq!(output.matches(" ann sudo root").count(), 1, "{output}");
}

#[test]
fn a_wrong_one_opens_nothing_and_tries_are_counted_over_processes() {
    let Some(host) = Host::new("") else { return };
    let wrong = "printf 'wrong\\n' | sudo -S whoami";
    let right = format!("printf '{PASSWORD}\\n' | sudo -S whoami");
    let (code, output) = host.run(&format!("{wrong}; {wrong}; {wrong}; {right}"), USED);
    assert_ne!(code, 0, "{output}");
    assert_eq!(output.matches("that is not the break-glass password").count(), 3, "{output}");
    assert!(output.contains("too many attempts") && !output.contains("\nroot"), "{output}");
    assert!(!output.contains(" ann sudo root"), "{output}");
}

#[test]
fn many_at_once_are_counted_one_by_one() {
    let Some(host) = Host::new("") else { return };
    let line = "for i in 1 2 3 4 5 6 7 8; do printf 'wrong\\n' | sudo -S whoami & done; wait; false";
    let (code, output) = host.run(line, "cat /var/lib/identree-host/glass/throttle");
    assert_ne!(code, 0, "{output}");
    assert_eq!(output.matches("that is not the break-glass password").count(), 3, "{output}");
    assert_eq!(output.matches("too many attempts").count(), 5, "{output}");
    assert!(output.contains("64001 3 "), "{output}");
}

#[test]
fn who_cannot_type_is_not_asked_and_nothing_opens() {
    let Some(host) = Host::new("") else { return };
    let (code, output) = host.run("sudo -n whoami </dev/null", USED);
    assert_ne!(code, 0, "{output}");
    assert!(!output.contains(" ann sudo root") && !output.contains("\nroot"), "{output}");
}

#[test]
fn it_is_not_asked_for_where_the_host_file_says_so_nor_after_a_no() {
    let Some(host) = Host::new("IDENTREE_BREAKGLASS_ENABLED=false\n") else { return };
    let right = format!("printf '{PASSWORD}\\n' | sudo -S whoami");
    let (code, output) = host.run(&right, USED);
    assert!(code != 0 && !output.contains("Break-glass"), "{output}");

    let Some(host) = Host::new("") else { return };
    let hash = host.server.folder.path().join("hash");
    let conf = format!("{}IDENTREE_BREAKGLASS_FILE={}\n", host.server.conf(), hash.display());
    assert_eq!(host.server.write_conf(&conf), host.conf);
    let (code, output) = host.run(&right, USED);
    assert!(code != 0 && output.contains("denied by bob") && !output.contains("Break-glass"), "{output}");
}

#[test]
fn a_file_that_others_can_read_opens_nothing_and_says_how_to_mend_it() {
    let Some(host) = Host::new("") else { return };
    let hash = host.server.folder.path().join("hash");
    fs::set_permissions(&hash, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, output) = host.run(&format!("printf '{PASSWORD}\\n' | sudo -S whoami"), USED);
    assert!(code != 0 && output.contains("chmod 0600") && !output.contains("\nroot"), "{output}");
}

#[test]
fn at_a_terminal_it_is_asked_for_and_not_shown() {
    let Some(host) = Host::new("") else { return };
    let ann = "setpriv --reuid=64001 --regid=64001 --clear-groups";
    let last = format!("{}exec {ann} script -qec 'sudo whoami' /dev/null", Host::prepared());
    let mut screen = Screen::of(host.sandbox.command(&last, ""));
    screen.wait_for("Break-glass password of this host");
    screen.keys(&format!("{PASSWORD}\n"));
    let (code, shown) = screen.finish();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("its use is recorded") && shown.trim_end().ends_with("root"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn a_new_password_is_shown_once_and_must_be_typed_back() {
    let Some(host) = Host::new("") else { return };
    let program = crate::place::module().parent().unwrap().parent().unwrap().join("identree-host");
    if !require("identree-host (cargo build -p identree-pam)", program.exists()) {
        return;
    }
    let line = format!("{} rotate-breakglass --config {}", program.display(), host.conf.display());
    let hash = host.server.folder.path().join("hash");
    let before = fs::read(&hash).unwrap();
    for right in [false, true] {
        let last = format!("{}exec script -qec '{line}' /dev/null", Host::prepared());
        let mut screen = Screen::of(host.sandbox.command(&last, ""));
        let shown = screen.wait_for("Type it once to go on: ").replace('\r', "");
        let password = shown.lines().find_map(|line| line.strip_prefix("    ")).unwrap().to_owned();
        assert_eq!(password.len(), 24, "{shown}");
        screen.keys(&format!("{}\n", if right { &password } else { "something else" }));
        let (code, shown) = screen.finish();
        assert_eq!((code == 0, fs::read(&hash).unwrap() != before), (right, right), "{shown}");
        assert_eq!(shown.matches(&password).count(), 1, "typed without an echo: {shown}");
    }
}
