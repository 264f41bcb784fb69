//! `identree status` and `identree heartbeat` on a whole host, and the units that start the latter.

use std::process::Command;

use identree_core::enrol::KEYS_PATH;
use identree_core::grant::Decision;
use identree_core::wire::heartbeat::PATH;

use super::host::Host;
use super::sandbox::require;
use super::setup::{HASH, SETUP, answering, host, nowhere};
use crate::server::{Act, Seen, Server, State, problem};

#[test]
fn a_host_is_red_without_a_gate_green_with_it_and_amber_after_a_break_glass_use() {
    let server = answering(Decision::Denied);
    let gone = nowhere();
    let Some(host) = host(&server).and_then(Host::with_plugin) else { return };
    let (code, output) = host.root(&format!(
        "$SETUP status; echo \"== code $?\"; {HASH}; {SETUP} >/run/out || cat /run/out; $SETUP status; echo \"== code $?\"
         cp -p /etc/identree/client.conf /run/conf
         sed -i 's/^IDENTREE_SERVER_URL=.*/IDENTREE_SERVER_URL=https:\\/\\/127.0.0.1:{gone}/' /etc/identree/client.conf
         ann 'echo password | sudo -S true' >/dev/null 2>&1; cp -p /run/conf /etc/identree/client.conf; $SETUP status; echo \"== code $?\"
         chmod 644 /etc/identree/client.conf; $SETUP status --json; echo; echo \"== code $?\""
    ));
    assert_eq!(code, 0, "{output}");
    let parts: Vec<_> = output.split("== code ").collect();
    assert!(parts[0].starts_with("red\n") && parts[0].contains("sudo asks nobody"), "{output}");
    assert!(parts[1].starts_with("2\n") && parts[1].contains("green\n"), "{output}");
    assert!(parts[2].starts_with("0\n") && parts[2].contains("amber\n"), "{output}");
    assert!(parts[2].contains("the break-glass password was used"), "{output}");
    assert!(parts[3].starts_with("1\n") && parts[3].contains("chmod 0600"), "{output}");
    assert!(parts[3].contains("\"status\":\"red\""), "{output}");
    assert!(!output.contains(server.conf().lines().nth(2).unwrap().split('=').nth(1).unwrap()), "no secret: {output}");
}

#[test]
fn a_token_is_no_argument_and_in_no_output() {
    let server = Server::start(|_: &State, _: &Seen, _| problem(403, "this host may not enrol with this token"));
    let Some(host) = Host::new(&server, None) else { return };
    let url = server.conf().lines().next().unwrap().split_once('=').unwrap().1.to_owned();
    let (code, output) = host.root(&format!(
        "echo not-a-token-of-anybody | $SETUP enroll --server {url}; echo x | $SETUP enroll; $SETUP enroll TOKEN; $SETUP rotate-key"
    ));
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("the token: ") && output.contains("enroll needs --server"), "{output}");
    assert!(output.contains("unknown option 'TOKEN'"), "{output}");
    assert!(output.contains("this host proves itself with a secret"), "{output}");
    assert!(!output.contains("not-a-token-of-anybody"), "{output}");
    assert!(server.lines().is_empty(), "nothing was sent for what is no token");
}

/// What the server answers to a heartbeat, with the code and the words of the program.
fn beats(answer: Act) -> Option<(i32, String, Server)> {
    let answer = std::sync::Mutex::new(Some(answer));
    let server = Server::start(move |_: &State, seen: &Seen, _| {
        let beat = (seen.method.as_str(), seen.target.as_str()) == ("POST", PATH);
        if (seen.method.as_str(), seen.target.as_str()) == ("GET", KEYS_PATH) {
            return Act::Send(200, br#"{"v":1,"statements":[]}"#.to_vec());
        }
        let answer = answer.lock().unwrap().take().filter(|_| beat);
        answer.unwrap_or_else(|| problem(404, "nothing else"))
    });
    let (code, output) = Host::new(&server, None)?.root("$SETUP heartbeat");
    Some((code, output, server))
}

#[test]
fn only_a_success_of_the_host_api_is_one() {
    let good = || Act::Send(200, br#"{"v":1,"status":"green"}"#.to_vec());
    let Some((code, output, server)) = beats(good()) else { return };
    assert_eq!((code, &*output), (0, ""), "silent when all is well");
    assert_eq!(server.lines(), ["POST", "GET"], "and it hears of new decision keys");
    let amber = beats(Act::Send(200, br#"{"v":1,"status":"amber","new":1}"#.to_vec())).unwrap();
    assert!(amber.0 == 0 && amber.1.contains("this host is amber"), "{}", amber.1);
    let moved = b"HTTP/1.1 302 X\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n".to_vec();
    for bad in [Act::Raw(moved), problem(401, "no"), problem(503, "later"), Act::Send(200, b"{}".to_vec()), Act::Close]
    {
        let (code, output, server) = beats(bad).unwrap();
        assert!(code == 1 && output.contains("did not take the heartbeat"), "{output}");
        assert_eq!(server.lines(), ["POST"], "{output}");
    }
}

#[test]
fn the_units_have_nothing_to_warn_of_and_little_exposed() {
    let there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !require("systemd-analyze", there) {
        return;
    }
    let units = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let folder = tempfile::tempdir().unwrap();
    let installed = "/usr/libexec/identree/identree-host";
    for name in ["identree-heartbeat.service", "identree-heartbeat.timer"] {
        let unit = std::fs::read_to_string(units.join(name)).unwrap();
        assert!(name.ends_with("timer") || unit.contains(installed));
        // The manual page is not installed here.
        let unit: String =
            unit.lines().filter(|l| !l.starts_with("Documentation=")).map(|l| format!("{l}\n")).collect();
        let unit = unit.replace(installed, env!("CARGO_BIN_EXE_identree-host"));
        std::fs::write(folder.path().join(name), unit).unwrap();
    }
    let (service, timer) =
        (folder.path().join("identree-heartbeat.service"), folder.path().join("identree-heartbeat.timer"));
    let verified = Command::new("systemd-analyze").arg("verify").arg(&service).arg(&timer).output().unwrap();
    let told = String::from_utf8(verified.stderr).unwrap();
    let ours: Vec<_> = told.lines().filter(|line| line.contains("identree")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{told}");
    let mut rating = Command::new("systemd-analyze");
    let rated = rating.args(["security", "--offline=true", "--threshold=20"]).arg(&service).output().unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}
