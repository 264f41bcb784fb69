//! One line of a PAM service's file, as far as setup has to understand it (pam.conf(5); `@include` is Debian's).

/// One line with its newline; a line that is continued keeps its parts apart.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) bytes: &'a [u8],
    pub(super) kind: Kind<'a>,
    /// Whether it ends in a backslash, so that the next one belongs to it.
    pub(super) continued: bool,
}

/// What the line is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Empty, a comment, or the rest of a continued line.
    Nothing,
    /// `auth`, with control and module.
    Auth(Rule<'a>),
    /// `account`, with control and module.
    Account(Rule<'a>),
    /// `password`, `session`, or what is no PAM line at all.
    Other,
    /// `@include FILE`.
    File(&'a str),
}

/// The columns after the type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule<'a> {
    control: &'a str,
    module: &'a str,
    /// All of the line after the module.
    arguments: &'a str,
}

pub(super) fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (at, bytes) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let bare = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let comment = bare.trim_ascii_start().first().is_none_or(|first| *first == b'#');
        let kind = if inside || comment { Kind::Nothing } else { kind(bare) };
        let continued = !comment && bare.ends_with(b"\\");
        // Linux-PAM skips comments inside a continued line.
        inside = continued || (inside && comment);
        lines.push(Line { number: at + 1, bytes, kind, continued });
    }
    lines
}

fn kind(bare: &[u8]) -> Kind<'_> {
    // A line that is not text stays as it is; only what is understood is acted upon.
    let Ok(text) = std::str::from_utf8(bare) else { return Kind::Other };
    let text = text.split('#').next().unwrap_or_default().trim();
    let Some((first, rest)) = text.split_once(char::is_whitespace) else { return Kind::Other };
    let rest = rest.trim_start();
    if first == "@include" {
        return Kind::File(rest.trim_end());
    }
    let which = first.strip_prefix('-').unwrap_or(first);
    let (control, rest) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((control, rest)) => (control, rest),
        None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
    };
    let rest = rest.trim_start();
    let (module, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rule = Rule { control, module, arguments };
    if which.eq_ignore_ascii_case("auth") {
        Kind::Auth(rule)
    } else if which.eq_ignore_ascii_case("account") {
        Kind::Account(rule)
    } else {
        Kind::Other
    }
}

impl Kind<'_> {
    pub(super) const fn is_auth(&self) -> bool {
        matches!(self, Self::Auth(_))
    }
}

impl Line<'_> {
    fn rule(&self) -> Option<&Rule<'_>> {
        match &self.kind {
            Kind::Auth(rule) | Kind::Account(rule) => Some(rule),
            _ => None,
        }
    }

    /// Whether the line's module has that file name, in whatever folder.
    pub(super) fn is_module(&self, name: &str) -> bool {
        self.rule().is_some_and(|rule| rule.module.rsplit('/').next() == Some(name))
    }

    /// Whether it asks identree: by the module, or by the helper.
    pub(super) fn is_ours(&self) -> bool {
        let helper = |rule: &Rule<'_>| rule.arguments.split_whitespace().any(|word| word.ends_with("/identree-pam"));
        self.is_module("pam_identree.so") || (self.is_module("pam_exec.so") && self.rule().is_some_and(helper))
    }

    /// The file that it takes in, for its own type.
    pub(super) fn included(&self) -> Option<&str> {
        let rule = self.rule()?;
        matches!(rule.control, "include" | "substack").then_some(rule.module)
    }

    /// Whether it jumps over a number of lines.
    pub(super) fn jumps(&self) -> bool {
        let number = |pair: &str| pair.split_once('=').is_some_and(|(_, to)| to.parse::<u32>().is_ok_and(|n| n > 0));
        self.rule().is_some_and(|rule| rule.control.split_whitespace().any(number))
    }

    /// Whether the stack can end with yes at this line.
    pub(super) fn may_end_well(&self) -> bool {
        match &self.kind {
            Kind::File(_) => true,
            _ => self.rule().is_some_and(|rule| {
                matches!(rule.control, "sufficient" | "include" | "substack")
                    || rule.control.contains("done")
                    || self.jumps()
            }),
        }
    }
}
