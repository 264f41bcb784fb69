//! The systemd unit of `docs/operations.md`, as it stands there.

use std::process::Command;

const MANUAL: &str = include_str!("../../../docs/operations.md");

/// Units with this exposure (times ten) and less are called OK by systemd.
const MOST_EXPOSED: &str = "20";

#[test]
fn the_unit_has_nothing_to_warn_of_and_little_exposed() {
    if !is_here() {
        return;
    }
    let (_, rest) = MANUAL.split_once("```ini\n").expect("the manual has a unit");
    let (unit, _) = rest.split_once("```").unwrap();
    let program = "/usr/local/bin/identree";
    assert!(unit.contains(program));
    assert!(unit.contains("\nRestart=always\n"), "a server that ends with status 75 counts on being started anew");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("identree.service");
    std::fs::write(&file, unit.replace(program, env!("CARGO_BIN_EXE_identree"))).unwrap();

    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let told = String::from_utf8(verified.stderr).unwrap();
    // Unknown directives are only warned of. What else this machine has installed is not ours.
    let ours: Vec<_> = told.lines().filter(|line| line.contains("identree")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{told}");

    let threshold = format!("--threshold={MOST_EXPOSED}");
    let rated = Command::new("systemd-analyze").args(["security", "--offline=true", &threshold]).arg(&file).output();
    let rated = rated.unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}

/// Whether systemd is installed; says so if not.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn is_here() -> bool {
    let there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    #[expect(clippy::disallowed_methods, reason = "whether it may be missing is told by the environment")]
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(there || !must, "install systemd");
    if !there {
        eprintln!("not run: systemd-analyze is not installed");
    }
    there
}
