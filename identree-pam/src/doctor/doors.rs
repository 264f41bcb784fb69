//! How each door is tried, and what its answers mean.

use std::path::Path;

use identree_core::grant::Decision::{Denied, Granted};

use super::blame::{pam, root_has_password, sudoers};
use super::{Found, Line, Standing, Walk};
use crate::setup::file::Snapshot;
use crate::setup::stack::Phase;
use crate::trial::door::{Attempt, Door, Rule};
use crate::trial::{End, TrialError};

/// Where a `sudo` written in Rust is: as Debian installs it, and beside the classic one.
const SUDO_RS: [&str; 3] = ["/usr/bin/sudo-rs", "/usr/lib/cargo/bin/sudo", "/usr/local/bin/sudo-rs"];

/// Prints the name of each file that cron reads for root and the one who tries can write to.
const WRITABLE: &str = "for f in /etc/crontab /etc/cron.d /etc/cron.d/* /etc/cron.hourly /etc/cron.hourly/* \
                        /etc/cron.daily /etc/cron.daily/* /etc/cron.weekly /etc/cron.weekly/* /etc/cron.monthly \
                        /etc/cron.monthly/* /var/spool/cron/crontabs/root; do [ -w \"$f\" ] && echo \"writable:$f\"; done; true";

/// Tries every door that this host has.
pub fn walk(walk: &Walk<'_>) -> Vec<Found> {
    let sudoers = Snapshot::take(&walk.places.sudoers).ok().flatten();
    let attempt = Attempt {
        program: walk.program,
        room: walk.room,
        files: Vec::new(),
        sudoers: (walk.places.sudoers.clone(), sudoers),
        account: walk.account,
    };
    let mut found = Vec::new();
    for door in Door::ALL.into_iter().filter(|door| Path::new(door.program()).exists()) {
        let judged = if door.is_sudo() {
            sudo(walk, &attempt, door.name(), door.service(), &door.command())
        } else {
            su(walk, &attempt, door)
        };
        found.push(judged.unwrap_or_else(|error| untried(door.name(), &error)));
    }
    if let Some(program) = SUDO_RS.into_iter().find(|program| Path::new(program).exists()) {
        // Without -S it shows text at a terminal only, and ends where there is none, as here.
        let command = [program, "-S", "id", "-u"].map(str::to_owned);
        found
            .push(sudo(walk, &attempt, "sudo-rs", "sudo", &command).unwrap_or_else(|error| untried("sudo-rs", &error)));
    }
    if Path::new("/usr/bin/pkexec").exists() {
        found.push(pkexec(walk, &attempt).unwrap_or_else(|error| untried("pkexec", &error)));
    }
    if Path::new("/etc/crontab").exists() || Path::new("/etc/cron.d").exists() {
        found.push(cron(walk, &attempt).unwrap_or_else(|error| untried("cron", &error)));
    }
    found
}

/// With a password, without one by rule, and with a ticket of a first approval.
fn sudo(
    walk: &Walk<'_>,
    attempt: &Attempt<'_>,
    name: &str,
    service: &str,
    command: &[String],
) -> Result<Found, TrialError> {
    let end = attempt.run(command.to_vec(), Rule::Password, &[Denied])?;
    let auth = pam(walk.places, service, Phase::Auth);
    if end.root > 0 {
        return Ok(found(name, Standing::Open, "a rule that asks for a password let the test in, unasked", auth));
    }
    if end.asked.is_empty() {
        let why = "a password was asked for instead: who knows it is root, and nobody is asked";
        return Ok(found(name, Standing::Open, &with_output(why, &end), auth));
    }
    let end = attempt.run(command.to_vec(), Rule::NoPassword, &[Denied])?;
    let account = || pam(walk.places, service, Phase::Account);
    if end.root > 0 || end.asked.is_empty() {
        let rule = sudoers(walk.places).map_or_else(
            || "no rule says NOPASSWD today".to_owned(),
            |line| format!("{}:{} says so", line.file.display(), line.number),
        );
        let why = format!("a NOPASSWD rule lets people in unasked ({rule}), because account asks nobody");
        return Ok(found(name, if end.root > 0 { Standing::Open } else { Standing::Unknown }, &why, account()));
    }
    // PAM module and plugin may each ask: as often as one approved run is asked about, so often the first one is here.
    let end = attempt.run(command.to_vec(), Rule::Password, &[Granted])?;
    let once = end.asked.len();
    let line = command.join(" ");
    let twice = vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("{line}; {line}")];
    let answers: Vec<_> = std::iter::repeat_n(Granted, once).chain([Denied]).collect();
    let end = attempt.run(twice, Rule::Password, &answers)?;
    Ok(match (end.root, end.asked.len()) {
        (1, asked) if asked == once + 1 => {
            found(name, Standing::Gated, "asked with a password rule, a NOPASSWD rule and a cached ticket", None)
        }
        (2.., _) => found(name, Standing::Open, "a ticket of an earlier approval lets people in unasked", account()),
        _ => found(name, Standing::Unknown, &with_output("an approval did not open it", &end), account()),
    })
}

fn su(walk: &Walk<'_>, attempt: &Attempt<'_>, door: Door) -> Result<Found, TrialError> {
    let end = door.attempt(attempt, Rule::Password, &[Denied])?;
    let line = || pam(walk.places, door.service(), Phase::Auth);
    Ok(if end.root > 0 {
        found(door.name(), Standing::Open, "it let the test in, unasked", line())
    } else if !end.asked.is_empty() {
        found(door.name(), Standing::Gated, "asked", None)
    } else if root_has_password(Path::new("/etc/shadow")) {
        found(door.name(), Standing::Open, "who knows root's password is root, and nobody is asked", line())
    } else {
        let why = "nobody was asked, and it stayed shut: root has no password that works";
        found(door.name(), Standing::Unknown, why, line())
    })
}

fn pkexec(walk: &Walk<'_>, attempt: &Attempt<'_>) -> Result<Found, TrialError> {
    let command = ["/usr/bin/pkexec", "/usr/bin/id", "-u"].map(str::to_owned);
    let end = attempt.run(command.to_vec(), Rule::Password, &[Denied])?;
    let line = pam(walk.places, "polkit-1", Phase::Auth);
    Ok(if end.root > 0 {
        found("pkexec", Standing::Open, "polkit let the test in, unasked", line)
    } else {
        let why = "identree cannot ask through polkit yet, and polkit let the test in nowhere";
        found("pkexec", Standing::Unknown, why, line)
    })
}

/// cron asks nobody: what counts is who can write what it runs.
fn cron(walk: &Walk<'_>, attempt: &Attempt<'_>) -> Result<Found, TrialError> {
    let command = ["/bin/sh", "-c", WRITABLE].map(str::to_owned);
    let end = attempt.run(command.to_vec(), Rule::Password, &[])?;
    let mut writable = end.output.lines().filter_map(|line| line.strip_prefix("writable:"));
    Ok(match writable.next() {
        Some(file) => {
            let why = format!("the user {} can write to {file}, which cron runs as root", walk.account.name);
            found("cron", Standing::Open, &why, None)
        }
        None => {
            let why = format!(
                "cron asks no person; the user {} can write to nothing that it runs as root",
                walk.account.name
            );
            found("cron", Standing::Unknown, &why, None)
        }
    })
}

fn found(door: &str, standing: Standing, why: &str, line: Option<Line>) -> Found {
    Found { door: door.to_owned(), standing, why: why.to_owned(), line }
}

fn untried(door: &str, error: &TrialError) -> Found {
    found(door, Standing::Unknown, &error.to_string(), None)
}

/// The last thing that was printed says most.
fn with_output(why: &str, end: &End) -> String {
    let last = end.output.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or_else(|| why.to_owned(), |last| format!("{why} ({})", identree_core::text::visible(last)))
}
