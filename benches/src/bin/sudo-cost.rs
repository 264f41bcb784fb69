//! Budget: `sudo true` on an `allow` rule takes at most 6 ms more at p50, and 12 ms at p99, with the PAM module (with the approval plugin;
//! with both) than with `pam_permit` alone; each shared object has at most 2 MiB, and makes sudo at most 4 MiB larger; a question stands on
//! the terminal with its QR code at most 50 ms after Enter; a server that refuses connections is told of within 100 ms, one that is silent
//! within 3 s.
//!
//! ```sh
//! cargo rustc -p identree-pam-module --lib --crate-type cdylib --profile host-module
//! cargo rustc -p identree-pam-plugin --lib --crate-type cdylib --profile host-module
//! cargo build -p identree-benches --profile host --bins
//! cargo build -p identree-server --release
//! target/host/sudo-cost                                 # as root; --check makes a missed budget a failure
//! ```
//!
//! Debian's own sudo, in a mount namespace with rules and PAM stacks of its own, in turn with and without the gate. The server is
//! the real `identree serve` over TLS 1.3 on loopback, which commits each question with `synchronous=FULL`: that is part of what is added.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use identree_benches::Result;
use identree_benches::figures::{Report, Samples, now};
use identree_benches::process::{built, peak_rss_kib, private_directory, rehearsed, timed};
use identree_benches::server::{ALLOW, ASK, Server};

const RUNS: usize = 300;
const PLUGIN: &str = "/usr/libexec/identree/sudo_identree.so";

/// What stands between sudo and the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    None,
    Module,
    Plugin,
    Both,
}

fn main() -> Result<ExitCode> {
    // In a mount namespace of its own, so that nothing of this is the machine's.
    if std::env::args().all(|argument| argument != "--inside") {
        let own = std::env::current_exe()?;
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "--propagation", "private"]).arg(own).arg("--inside").args(std::env::args().skip(1));
        let status = inside.status()?;
        return Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)));
    }
    let how = "see the first lines of this program's source";
    let module = built("host-module", "libpam_identree.so", how)?;
    let plugin = built("host-module", "libsudo_identree.so", how)?;
    let identree = built("release", "identree", "cargo build -p identree-server --release")?;
    let mut report = Report::begin("sudo-cost: what module and plugin add to sudo on an allow rule");
    report.say(format!("  runs        {RUNS} of each, in turn; TLS 1.3, P-256, loopback, SQLite synchronous=FULL"));

    let server = Server::start(&identree, ALLOW, &[])?;
    let room = Room::new(&module, &plugin)?;
    let gates = [Gate::None, Gate::Module, Gate::Plugin, Gate::Both];
    let mut samples = gates.map(|gate| (gate, Vec::with_capacity(RUNS)));
    for gate in gates {
        room.set(gate, &server.client_conf())?;
        rehearsed(&mut sudo(), &[0])?;
    }
    for _ in 0..RUNS {
        for (gate, times) in &mut samples {
            room.set(*gate, &server.client_conf())?;
            times.push(timed(&mut sudo(), &[0])?);
        }
    }
    let samples = samples.map(|(gate, times)| (gate, Samples::new(times)));
    let bare = &samples[0].1;
    report.say(format!("  pam_permit  p50 {:.2} ms, p99 {:.2} ms", bare.p50(), bare.p99()));
    for (gate, times) in &samples[1..] {
        report.say(format!("  {gate:?}: p50 {:.2} ms, p99 {:.2} ms", times.p50(), times.p99()));
        report.judge(&format!("{gate:?}: added at p50"), times.p50() - bare.p50(), 6.0, "ms");
        report.judge(&format!("{gate:?}: added at p99"), times.p99() - bare.p99(), 12.0, "ms");
    }
    let mut peaks = gates.map(|gate| (gate, 0));
    for (gate, peak) in &mut peaks {
        room.set(*gate, &server.client_conf())?;
        *peak = peak_rss_kib(&sudo())?;
    }
    for (gate, peak) in &peaks[1..] {
        let more = mib(peak.saturating_sub(peaks[0].1) * 1024);
        report.judge(&format!("{gate:?}: resident growth of sudo"), more, 4.0, "MiB");
    }
    let elsewhere = room.0.path().join("elsewhere.conf");
    for (what, silent, budget) in [("refuses", false, 100.0), ("is silent", true, 3000.0)] {
        // Nobody takes what connects to the one; nobody listens where the other was.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let kept = silent.then_some(listener);
        let text = fs::read_to_string(server.client_conf())?;
        let rest = text.lines().filter(|line| !line.starts_with("IDENTREE_SERVER_URL="));
        let lines = std::iter::once(format!("IDENTREE_SERVER_URL=https://{address}")).chain(rest.map(str::to_owned));
        room.put("elsewhere.conf", &(lines.collect::<Vec<_>>().join("\n") + "\n"), 0o600)?;
        for gate in [Gate::Module, Gate::Plugin] {
            room.set(gate, &elsewhere)?;
            let told = (0..if silent { 3 } else { 20 }).map(|_| until_told()).collect::<Result<Vec<_>>>()?;
            report.judge(
                &format!("{gate:?}: the server {what}, told after, p50"),
                Samples::new(told).p50(),
                budget,
                "ms",
            );
        }
        drop(kept);
    }
    drop(server);

    let server = Server::start(&identree, ASK, &[])?;
    room.set(Gate::Module, &server.client_conf())?;
    let shown = (0..20).map(|_| until_drawn()).collect::<Result<Vec<_>>>()?;
    let shown = Samples::new(shown);
    report.judge("from starting sudo to the whole QR code, p50", shown.p50(), 50.0, "ms");
    report.say(format!("              slowest of 20: {:.2} ms", shown.percentile(100).as_secs_f64() * 1e3));
    for file in [&module, &plugin] {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        report.judge(&name, mib(fs::metadata(file)?.len()), 2.0, "MiB");
    }
    Ok(report.end())
}

/// Files of this namespace's own over those of the machine.
struct Room(tempfile::TempDir);

impl Room {
    fn new(module: &Path, plugin: &Path) -> Result<Self> {
        let folder = private_directory()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["pam", "sudoers", "sudo.conf"] {
            fs::write(folder.path().join(name), "")?;
        }
        fs::copy(module, folder.path().join("pam_identree.so"))?;
        let script = format!(
            "set -e; mount -t tmpfs tmpfs /run; mkdir /run/libexec; mount --bind /usr/libexec /run/libexec; \
             mount -t tmpfs -o mode=0755 tmpfs /usr/libexec; cp -a /run/libexec/sudo /usr/libexec/; \
             mkdir -m 755 /usr/libexec/identree; cp '{}' {PLUGIN}; mount --bind '{}' /etc/pam.d/sudo; \
             mount --bind '{}' /etc/sudoers; mount --bind '{}' /etc/sudo.conf",
            plugin.display(),
            path("pam"),
            path("sudoers"),
            path("sudo.conf"),
        );
        rehearsed(Command::new("sh").args(["-c", &script]), &[0])?;
        let room = Self(folder);
        // For the machine's own rules are none of ours.
        room.put("sudoers", "Defaults !lecture, timestamp_timeout=0\nnobody ALL=(ALL:ALL) ALL\n", 0o440)?;
        Ok(room)
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.path().join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    fn set(&self, gate: Gate, conf: &Path) -> Result<()> {
        let module = self.0.path().join("pam_identree.so");
        let line = format!("{} config={}", module.display(), conf.display());
        let mut pam = String::new();
        if matches!(gate, Gate::Module | Gate::Both) {
            writeln!(pam, "auth requisite {line}\naccount required {line}")?;
        }
        pam.push_str("auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n");
        self.put("pam", &pam, 0o644)?;
        let loads = matches!(gate, Gate::Plugin | Gate::Both);
        let plugin = if loads {
            format!("Plugin identree_approval {PLUGIN} config={}\n", conf.display())
        } else {
            String::new()
        };
        self.put("sudo.conf", &plugin, 0o644)
    }
}

/// Nobody's, not root's: for root sudo leaves *auth* out. What `setpriv` costs is in every figure.
fn sudo() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sudo", "true"]).stderr(Stdio::null());
    command
}

/// From starting sudo to its first word on standard error or output.
fn until_told() -> Result<Duration> {
    let mut command = sudo();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = now();
    let mut child = command.spawn()?;
    let mut word = [0; 512];
    let read = child.stderr.take().ok_or("no pipe")?.read(&mut word)?;
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&word[..read]).into_owned();
    if child.wait()?.success() || !said.contains("identree") {
        return Err(format!("not what is said of a server that is not there: {said}").into());
    }
    Ok(took)
}

/// From starting sudo at a terminal to the line under the QR code.
fn until_drawn() -> Result<Duration> {
    let line = "stty rows 40 cols 100; read go; exec setpriv --reuid=nobody --regid=nogroup --clear-groups sudo true";
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let (mut keys, mut screen) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
    std::io::Write::write_all(&mut keys, b"\n")?;
    let started = now();
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains("Waiting up to") {
        let read = screen.read(&mut buffer)?;
        if read == 0 {
            return Err(format!("no question was shown: {seen}").into());
        }
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let took = started.elapsed();
    if !seen.contains('\u{2588}') && !seen.contains('\u{2584}') {
        return Err(format!("no QR code was drawn: {seen}").into());
    }
    std::io::Write::write_all(&mut keys, b"\x03")?;
    drop(keys);
    while screen.read(&mut buffer)? > 0 {}
    child.wait()?;
    Ok(took)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
