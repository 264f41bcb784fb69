//! A PAM service's file with and without our lines, as a pure function of its text (pam.conf(5)).
//!
//! Our lines stand in blocks between two comments; a line of the distribution that asks for a password is put behind a
//! marker and comes back byte for byte. Everything else stays as it is.

mod line;

use self::line::{Kind, Line, lines};

/// The first line of a block of ours.
pub const BEGIN: &str = "# identree setup: begin (identree setup --remove takes this out)";
/// The last line of a block of ours.
pub const END: &str = "# identree setup: end";
/// Before a line of the distribution that is out of use while our lines are in.
pub const ASIDE: &str = "#identree setup: ";

/// Files that are included for their `auth` lines, which ask for a password.
const PASSWORD_STACKS: [&str; 4] = ["common-auth", "system-auth", "password-auth", "system-login"];

/// What stands in the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Module and its arguments, as in the third column.
    pub module: String,
    /// Whether the distribution's password is asked for too.
    pub password: Password,
}

/// Whether the person's password is asked for beside the approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Password {
    /// The approval takes its place.
    Replaced,
    /// Both are asked for.
    Kept,
}

/// Whether root itself passes without a question, as `su` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Asked like anybody.
    Asked,
    /// Passes, by `pam_rootok`.
    Passes,
}

/// Why a file is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// Lines of ours that setup did not write.
    #[error("line {0} names identree and was not written by setup; remove such lines by hand, then run setup again")]
    ByHand(usize),
    /// A jump would land elsewhere.
    #[error(
        "line {0} jumps over others by their number; with `--keep-password` no line is set aside and jumps stay right"
    )]
    Jump(usize),
    /// A line that goes on in the next one would have to be set aside.
    #[error("line {0} ends in a backslash; write it in one line, then run setup again")]
    Continued(usize),
    /// Nothing can stand below a line that has no end.
    #[error("line {0} is the last one and has no newline; add one, then run setup again")]
    NoNewline(usize),
    /// Something before our line lets people pass.
    #[error("line {0} can end the stack before identree is asked; move it below, or take it out")]
    Earlier(usize),
    /// A block is damaged.
    #[error("line {0}: a block of identree setup begins or ends where it must not; restore the file by hand")]
    Marker(usize),
}

/// The text with our lines in it. The same text when they are in already.
///
/// # Errors
/// [`StackError`] where the result would not be certain to ask, or not certain to be undone.
pub fn install(text: &[u8], gate: &Gate, root: Root) -> Result<Vec<u8>, StackError> {
    let base = remove(text)?;
    let lines = lines(&base);
    if let Some(ours) = lines.iter().find(|line| line.is_ours()) {
        return Err(StackError::ByHand(ours.number));
    }
    let first = lines.iter().position(|line| line.kind != Kind::Nothing);
    // A file whose last line is a comment without newline: before it, so that the block stands in lines of its own.
    let end = lines.len() - usize::from(lines.last().is_some_and(|line| !line.bytes.ends_with(b"\n")));
    let top = first.unwrap_or(end);
    let auth_at = match root {
        Root::Asked => top,
        Root::Passes => after_rootok(&lines)?.unwrap_or(top),
    };
    let aside = match gate.password {
        Password::Kept => Vec::new(),
        Password::Replaced => set_aside(&lines)?,
    };

    let account = block(&match root {
        Root::Asked => vec![format!("account  required   {}", gate.module)],
        Root::Passes => vec![
            "account  [success=1 default=ignore] pam_rootok.so".to_owned(),
            format!("account  required   {}", gate.module),
        ],
    });
    let auth = block(&[format!("auth     requisite  {}", gate.module), "auth     required   pam_permit.so".to_owned()]);
    let mut out = Vec::new();
    for at in 0..=lines.len() {
        if at == auth_at {
            out.extend_from_slice(&auth);
        }
        if at == top {
            out.extend_from_slice(&account);
        }
        if let Some(line) = lines.get(at) {
            if aside.contains(&at) {
                out.extend_from_slice(ASIDE.as_bytes());
            }
            out.extend_from_slice(line.bytes);
        }
    }
    Ok(out)
}

/// The text without our lines, and with those that were set aside back in use.
///
/// # Errors
/// [`StackError::Marker`] if somebody changed the markers.
pub fn remove(text: &[u8]) -> Result<Vec<u8>, StackError> {
    let mut out = Vec::with_capacity(text.len());
    let mut open = None;
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        match (bare == BEGIN.as_bytes(), bare == END.as_bytes(), open) {
            (true, _, None) => open = Some(at + 1),
            (_, true, Some(_)) => open = None,
            (true, ..) | (_, true, _) => return Err(StackError::Marker(at + 1)),
            (.., Some(_)) => {}
            (.., None) => out.extend_from_slice(line.strip_prefix(ASIDE.as_bytes()).unwrap_or(line)),
        }
    }
    open.map_or(Ok(out), |at| Err(StackError::Marker(at)))
}

/// Which phases a service asks in, its included files followed through `load`; at most eight deep.
pub fn asks(service: &str, load: &dyn Fn(&str) -> Option<Vec<u8>>) -> Phases {
    let mut found = Phases::default();
    follow(service, None, load, 8, &mut found);
    found
}

/// A phase of PAM that somebody can be asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `auth`.
    Auth,
    /// `account`.
    Account,
}

/// The number of the first line, from 1, that decides in that phase and is not ours; an included file counts as one.
pub fn decides(text: &[u8], phase: Phase) -> Option<usize> {
    let found = lines(text).into_iter().find(|line| match (&line.kind, phase) {
        (Kind::Auth(_), Phase::Auth) | (Kind::Account(_), Phase::Account) => {
            !line.is_ours() && !line.is_module("pam_rootok.so")
        }
        (Kind::File(name), Phase::Auth) => *name != "common-account" && !name.contains("session"),
        (Kind::File(name), Phase::Account) => *name != "common-auth" && !name.contains("session"),
        _ => false,
    });
    found.map(|line| line.number)
}

/// Where a service asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// In `auth`.
    pub auth: bool,
    /// In `account`.
    pub account: bool,
}

fn follow(file: &str, only: Option<&Kind<'_>>, load: &dyn Fn(&str) -> Option<Vec<u8>>, depth: u8, found: &mut Phases) {
    let Some(text) = load(file).filter(|_| depth > 0) else { return };
    for line in lines(&text) {
        let wanted = only.is_none_or(|only| std::mem::discriminant(only) == std::mem::discriminant(&line.kind));
        match &line.kind {
            Kind::File(name) => follow(name, only, load, depth - 1, found),
            Kind::Auth(_) | Kind::Account(_) if wanted => {
                if let Some(name) = line.included() {
                    follow(name, Some(&line.kind), load, depth - 1, found);
                } else if line.is_ours() {
                    match line.kind {
                        Kind::Auth(_) => found.auth = true,
                        _ => found.account = true,
                    }
                }
            }
            _ => {}
        }
    }
}

/// Right after `auth sufficient pam_rootok.so`, if that is the first line that counts for auth.
fn after_rootok(lines: &[Line<'_>]) -> Result<Option<usize>, StackError> {
    let Some(at) = lines.iter().position(|line| line.kind.is_auth() && line.is_module("pam_rootok.so")) else {
        return Ok(None);
    };
    let earlier = |line: &&Line<'_>| line.kind.is_auth() || matches!(line.kind, Kind::File(_));
    match lines[..at].iter().find(earlier) {
        Some(line) if line.may_end_well() => Err(StackError::Earlier(line.number)),
        _ if !lines[at].bytes.ends_with(b"\n") => Err(StackError::NoNewline(lines[at].number)),
        _ if lines[at].continued => Err(StackError::Continued(lines[at].number)),
        _ => Ok(Some(at + 1)),
    }
}

/// The lines that ask for a password, if setting them aside changes nothing else.
fn set_aside(lines: &[Line<'_>]) -> Result<Vec<usize>, StackError> {
    let asks = |line: &Line<'_>| match &line.kind {
        Kind::File(name) => PASSWORD_STACKS.contains(name),
        Kind::Auth(_) => line.is_module("pam_unix.so") || line.included().is_some_and(|f| PASSWORD_STACKS.contains(&f)),
        _ => false,
    };
    let aside: Vec<usize> = (0..lines.len()).filter(|at| asks(&lines[*at])).collect();
    if let Some(line) = aside.iter().map(|at| &lines[*at]).find(|line| line.continued) {
        return Err(StackError::Continued(line.number));
    }
    match lines.iter().find(|line| line.kind.is_auth() && line.jumps()) {
        Some(line) if !aside.is_empty() => Err(StackError::Jump(line.number)),
        _ => Ok(aside),
    }
}

fn block(lines: &[String]) -> Vec<u8> {
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")).into_bytes()
}

#[cfg(test)]
mod tests;
