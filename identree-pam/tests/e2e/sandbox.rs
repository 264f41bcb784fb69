//! A mount namespace in which sudo finds our users, rules and PAM stack, and the rest of the machine finds nothing.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Which of the two lines stand in the PAM stack.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    pub(crate) auth: bool,
    pub(crate) account: bool,
}

/// What the PAM lines start.
pub(crate) struct Helper {
    pub(crate) program: PathBuf,
    /// Its host file, which must be as the helper accepts it.
    pub(crate) conf: PathBuf,
}

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    helper: Option<Helper>,
}

pub(crate) struct Running(Child);

/// Whether a program is here and we may use it. Missing is a failure in CI and a printed reason elsewhere.
#[expect(clippy::disallowed_methods, reason = "CI is how a build says that nothing may be missing")]
pub(crate) fn require(what: &str, there: bool) -> bool {
    assert!(there || std::env::var_os("CI").is_none(), "{what} is missing");
    if !there {
        eprintln!("skipped: {what} is missing");
    }
    there
}

/// Runs a shell script as root in a mount namespace of its own; there `$1` is `line`.
pub(crate) fn bare(script: &str, line: &str) -> Running {
    let mut command = bare_command(script, line);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    Running(command.spawn().unwrap())
}

fn bare_command(script: &str, line: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", line]);
    command
}

pub(crate) fn all_there() -> bool {
    let programs = ["/usr/bin/sudo", "/usr/bin/unshare", "/usr/bin/setpriv", "/usr/bin/script", "/usr/bin/su"];
    programs.iter().all(|program| require(program, Path::new(program).exists()))
        && require("root", rustix::process::geteuid().is_root())
}

impl Sandbox {
    /// `None` where the machine cannot do it. `rule` is what sudoers allows ann.
    pub(crate) fn new(helper: Helper, stack: Stack, rule: &str) -> Option<Self> {
        let line =
            format!("pam_exec.so seteuid stdout quiet {} --config {}", helper.program.display(), helper.conf.display());
        let mut pam = String::new();
        let auth = if stack.auth { format!("requisite {line}") } else { "required pam_permit.so".into() };
        writeln!(pam, "auth {auth}\nauth required pam_permit.so").unwrap();
        if stack.account {
            writeln!(pam, "account required {line}").unwrap();
        }
        writeln!(pam, "account required pam_permit.so\nsession required pam_permit.so").unwrap();
        Self::with_pam(&pam, rule).map(|sandbox| Self { helper: Some(helper), ..sandbox })
    }

    /// With this PAM stack for sudo and su.
    pub(crate) fn with_pam(pam: &str, rule: &str) -> Option<Self> {
        if !all_there() {
            return None;
        }
        let sandbox = Self { folder: tempfile::tempdir().unwrap(), helper: None };
        let put = |name: &str, text: &str, mode| sandbox.put(name, text, mode);
        put("pam", pam, 0o644);
        put("sudoers", &format!("Defaults !lecture\nann ALL=(ALL:ALL) {rule}\n"), 0o440);
        let users = "root:x:0:0::/root:/bin/sh\nann:x:64001:64001::/:/bin/sh\nbob:x:64002:64002::/:/bin/sh\nsshd:x:64003:64003::/run/sshd:/bin/false\n";
        put("passwd", users, 0o644);
        put("group", "root:x:0:\nann:x:64001:\nbob:x:64002:\nsshd:x:64003:\n", 0o644);
        put("shadow", "root:*:1::::::\nann:*:1::::::\nbob:*:1::::::\n", 0o640);
        // sudo looks up its machine's own name; where that is nowhere, a name server may take seconds to say so.
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        put("hosts", &format!("127.0.0.1 localhost id.test {own}\n"), 0o644);
        Some(sandbox)
    }

    /// Puts a file of the sandbox in place; `sudo.conf` and `sudoers` are sudo's own, `sudo_identree.so` is its approval plugin.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs a command line as ann and returns its exit code with everything it printed.
    pub(crate) fn sudo(&self, line: &str) -> (i32, String) {
        self.spawn(line).finish()
    }

    pub(crate) fn spawn(&self, line: &str) -> Running {
        self.start(
            "exec setpriv --reuid=64001 --regid=64001 --clear-groups sh -c \"$1\"",
            &format!("exec 2>&1; {line}"),
        )
    }

    /// Runs a shell script as root that ends in `last`; there `$1` is `line`.
    pub(crate) fn start(&self, last: &str, line: &str) -> Running {
        let mut command = self.command(last, line);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        Running(command.spawn().unwrap())
    }

    /// The same, not started yet.
    pub(crate) fn command(&self, last: &str, line: &str) -> Command {
        let mut script = String::from("set -e; mount -t tmpfs tmpfs /run; cd /\n");
        for (name, place) in [
            ("passwd", "/etc/passwd"),
            ("group", "/etc/group"),
            ("shadow", "/etc/shadow"),
            ("hosts", "/etc/hosts"),
            ("sudoers", "/etc/sudoers"),
            ("sudo.conf", "/etc/sudo.conf"),
            ("pam", "/etc/pam.d/sudo"),
            ("pam", "/etc/pam.d/su"),
            ("pam", "/etc/pam.d/sudo-i"),
            ("pam", "/etc/pam.d/su-l"),
            ("pam", "/etc/pam.d/sshd"),
        ] {
            // Debian's package of the program brings the place; without the program nothing is asked there.
            let source = self.folder.path().join(name);
            if source.exists() && Path::new(place).exists() {
                writeln!(script, "mount --bind '{}' {place}", source.display()).unwrap();
            }
        }
        let plugin = self.folder.path().join("sudo_identree.so");
        if plugin.exists() {
            // Beside sudo's own plugins, where ours is installed.
            let place = "mkdir -p /run/lx/sudo /run/lx/identree; mount --bind /usr/libexec/sudo /run/lx/sudo";
            writeln!(
                script,
                "{place}; cp -p '{}' /run/lx/identree; mount --rbind /run/lx /usr/libexec",
                plugin.display()
            )
            .unwrap();
        }
        script.push_str(last);
        bare_command(&script, line)
    }

    /// Sends SIGTERM to the helper.
    pub(crate) fn signal_helper(&self) {
        kill_process(self.helper(), Signal::TERM).unwrap();
    }

    /// Kills the sudo that started the helper.
    pub(crate) fn kill_caller(&self) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.helper().as_raw_nonzero())).unwrap();
        let parent = stat.rsplit(')').next().unwrap().split(' ').nth(2).unwrap().parse().unwrap();
        kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL).unwrap();
    }

    /// The helper that reads this sandbox's host file.
    fn helper(&self) -> Pid {
        let helper = self.helper.as_ref().expect("the PAM lines start a helper");
        let (program, conf) = (helper.program.to_str().unwrap(), helper.conf.to_str().unwrap());
        let mut pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let helper = pids.find(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            arguments.starts_with(program) && arguments.contains(conf)
        });
        Pid::from_raw(helper.expect("the helper waits")).unwrap()
    }
}

impl Running {
    /// Kills the process that was started, and that alone.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    pub(crate) fn finish(mut self) -> (i32, String) {
        let mut output = String::new();
        let stdout = self.0.stdout.take().unwrap();
        std::io::Read::read_to_string(&mut identree_evidence::tee("terminal", stdout), &mut output).unwrap();
        (self.0.wait().unwrap().code().unwrap_or(-1), output.replace('\r', ""))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait()
            && let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
