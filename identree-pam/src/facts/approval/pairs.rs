//! `name=value` lists, as sudo hands them to its plugins: pure functions over bytes.

use identree_core::wire::v1::Bytes;

/// What of `command_info` is bound by a field of its own.
const OWN: [&str; 15] = [
    "command",
    "runas_user",
    "runas_group",
    "runas_uid",
    "runas_gid",
    "runas_groups",
    "cwd",
    "chroot",
    "umask",
    "sudoedit",
    "sudoedit_nfiles",
    "execfd",
    // How sudo logs and how it watches the command; what runs is the same.
    "set_utmp",
    "utmp_user",
    "maxseq",
];
/// Beginnings of names that say how sudo logs and how it watches.
const LOGGING: [&str; 5] = ["log_", "iolog_", "use_pty", "use_ptrace", "intercept_verify"];
/// What sudo sets by itself on every run.
const USUAL: [&[u8]; 2] = [b"rlimit_core=0,0", b"closefrom=3"];

/// A list to look names up in. The first of a name counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pairs<'a>(&'a [Vec<u8>]);

impl<'a> Pairs<'a> {
    pub(crate) const fn of(list: &'a [Vec<u8>]) -> Self {
        Self(list)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some(b"true")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        decimal(self.get(name)?)
    }
}

/// What of `command_info` sudo says twice, of what has a field of its own: sudo itself goes by the last, so that the first
/// would be shown and the last would run.
pub(super) fn twice(command_info: &[Vec<u8>]) -> Option<&'static str> {
    let says = |name: &str| {
        let named = |entry: &&Vec<u8>| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        command_info.iter().filter(named).count()
    };
    OWN.into_iter().chain(["preserve_groups"]).find(|name| says(name) > 1)
}

fn decimal(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// `0,4,27`.
pub(super) fn numbers(list: &[u8]) -> Option<Vec<u32>> {
    list.split(|b| *b == b',').filter(|word| !word.is_empty()).map(decimal).collect()
}

/// `022`.
pub(super) fn octal(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(|b| (b'0'..=b'7').contains(b));
    digits
        .then(|| u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok())
        .flatten()
        .filter(|mask| *mask <= 0o7777)
}

/// What of `command_info` is to be bound as it stands, because nothing here knows that it does not matter.
pub(super) fn remaining(command_info: &[Vec<u8>]) -> Vec<Bytes> {
    let told = |entry: &&Vec<u8>| {
        let name = entry.split(|b| *b == b'=').next().unwrap_or_default();
        let own = OWN.iter().any(|own| own.as_bytes() == name);
        own || LOGGING.iter().any(|begin| name.starts_with(begin.as_bytes())) || USUAL.contains(&entry.as_slice())
    };
    command_info.iter().filter(|entry| !told(entry)).map(|entry| Bytes(entry.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_first_of_a_name_counts_and_forms_are_strict() {
        let words = list(&["uid=7", "uid=8", "uidx=9", "neg=-1", "empty=", "big=4294967296", "on=true", "off=1"]);
        let pairs = Pairs::of(&words);
        assert_eq!((pairs.number("uid"), pairs.number("neg"), pairs.number("big")), (Some(7), None, None));
        assert_eq!((pairs.get("empty"), pairs.get("none"), pairs.number("empty")), (Some(&b""[..]), None, None));
        assert!(pairs.flag("on") && !pairs.flag("off"));
        assert_eq!((numbers(b"0,4"), numbers(b"0,x"), numbers(b"")), (Some(vec![0, 4]), None, Some(vec![])));
        assert_eq!((octal(b"0022"), octal(b"8"), octal(b""), octal(b"77777")), (Some(0o22), None, None, None));
    }

    #[test]
    fn what_is_said_twice_is_found() {
        assert_eq!(twice(&list(&["command=/x", "command_x=/y", "chroot=/a", "umask=022"])), None);
        assert_eq!(twice(&list(&["command=/x", "umask=022", "command=/y"])), Some("command"));
        assert_eq!(twice(&list(&["chroot=/a", "chroot=/a"])), Some("chroot"));
    }

    #[test]
    fn what_is_unknown_is_bound() {
        let info = list(&["command=/x", "log_stdin=true", "rlimit_core=0,0", "rlimit_core=1,1", "noexec=true", "odd"]);
        let bound: Vec<_> = remaining(&info).into_iter().map(|bytes| String::from_utf8(bytes.0).unwrap()).collect();
        assert_eq!(bound, ["rlimit_core=1,1", "noexec=true", "odd"]);
    }
}
