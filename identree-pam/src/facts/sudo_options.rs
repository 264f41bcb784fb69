//! As whom sudo was told to run: its own options, read as sudo 1.9 reads them (`parse_args.c`, `getopt_long(3)` that stops
//! at the first operand).

/// Options that take a value, by letter.
const WITH_VALUE: &[u8] = b"aCcDghpRrTtUu";
/// Options that take none.
const WITHOUT_VALUE: &[u8] = b"ABbEeHiKklNnPSsVv";
/// Long options that take a value, with their letter.
const LONG_WITH_VALUE: [(&str, u8); 13] = [
    ("auth-type", b'a'),
    ("chdir", b'D'),
    ("chroot", b'R'),
    ("close-from", b'C'),
    ("command-timeout", b'T'),
    ("group", b'g'),
    ("host", b'h'),
    ("login-class", b'c'),
    ("other-user", b'U'),
    ("prompt", b'p'),
    ("role", b'r'),
    ("type", b't'),
    ("user", b'u'),
];
/// Long options that take none; `preserve-env` may have one after `=`.
const LONG_WITHOUT_VALUE: [&str; 18] = [
    "askpass",
    "background",
    "bell",
    "edit",
    "help",
    "list",
    "login",
    "no-update",
    "non-interactive",
    "preserve-env",
    "preserve-groups",
    "remove-timestamp",
    "reset-timestamp",
    "set-home",
    "shell",
    "stdin",
    "validate",
    "version",
];

/// As whom, as typed. Names may be `#uid` or `#gid`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RunAsOptions {
    /// `-u`.
    pub(crate) user: Option<Vec<u8>>,
    /// `-g`.
    pub(crate) group: Option<Vec<u8>>,
}

/// The command line is not one that sudo itself would accept, so nothing certain can be said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSudo;

/// Reads the options in `argv`, the program's own name first. The last one of a kind counts, as for sudo.
pub(crate) fn run_as(argv: &[Vec<u8>]) -> Result<RunAsOptions, NotSudo> {
    let mut found = RunAsOptions::default();
    let mut rest = argv.iter().skip(1).map(Vec::as_slice).peekable();
    while let Some(argument) = rest.next() {
        if argument == b"--" {
            break;
        }
        if let Some(long) = argument.strip_prefix(b"--") {
            let (name, value) = match long.iter().position(|b| *b == b'=') {
                Some(at) => (&long[..at], Some(&long[at + 1..])),
                None => (long, None),
            };
            match (long_option(name)?, value) {
                (Some(letter), Some(value)) => found.set(letter, value),
                (Some(letter), None) => found.set(letter, separate(rest.next().ok_or(NotSudo)?)?),
                (None, _) => {}
            }
        } else if let Some(letters) = argument.strip_prefix(b"-").filter(|letters| !letters.is_empty()) {
            if let Some(letter) = short_options(letters, &mut found)? {
                // `-h` alone is a call for help, else it names a host; every other option must have its value.
                match rest.next() {
                    Some(value) => found.set(letter, separate(value)?),
                    None if letter == b'h' => {}
                    None => return Err(NotSudo),
                }
            }
        } else if !is_assignment(argument)? {
            // sudo goes on reading options behind `NAME=value`, and only there.
            break;
        }
    }
    Ok(found)
}

impl RunAsOptions {
    fn set(&mut self, letter: u8, value: &[u8]) {
        match letter {
            b'u' => self.user = Some(value.to_vec()),
            b'g' => self.group = Some(value.to_vec()),
            _ => {}
        }
    }
}

/// Letters behind one dash; the letter whose value is the next argument, if the last one is such.
fn short_options(letters: &[u8], found: &mut RunAsOptions) -> Result<Option<u8>, NotSudo> {
    for (at, letter) in letters.iter().enumerate() {
        if WITH_VALUE.contains(letter) {
            let value = &letters[at + 1..];
            if value.is_empty() {
                return Ok(Some(*letter));
            }
            found.set(*letter, value);
            return Ok(None);
        }
        if !WITHOUT_VALUE.contains(letter) {
            return Err(NotSudo);
        }
    }
    Ok(None)
}

/// The letter of a long option that takes a value, `None` for one without. Unambiguous beginnings count (`getopt_long(3)`).
fn long_option(name: &[u8]) -> Result<Option<u8>, NotSudo> {
    let name = std::str::from_utf8(name).map_err(|_| NotSudo)?;
    let exact = |candidate: &str| candidate == name;
    let begins = |candidate: &str| candidate.starts_with(name);
    for fits in [&exact as &dyn Fn(&str) -> bool, &begins] {
        let with: Vec<u8> =
            LONG_WITH_VALUE.iter().filter(|(candidate, _)| fits(candidate)).map(|(_, letter)| *letter).collect();
        let without = LONG_WITHOUT_VALUE.iter().filter(|candidate| fits(candidate)).count();
        match (with.as_slice(), without) {
            ([letter], 0) => return Ok(Some(*letter)),
            ([], 1) => return Ok(None),
            ([], 0) => {}
            _ => return Err(NotSudo),
        }
    }
    Err(NotSudo)
}

/// The value of an option in an argument of its own. sudo looks back at the argument before `NAME=value`: if that reads
/// `--`, even as a value, it takes the assignment for the command and what follows for the command's own arguments. Nobody
/// means that, so nothing is said about such a line.
fn separate(value: &[u8]) -> Result<&[u8], NotSudo> {
    if value == b"--" { Err(NotSudo) } else { Ok(value) }
}

/// Whether sudo takes the argument for `NAME=value`. Its macro `is_envar` takes anything with `=` that is not an absolute
/// path, sudo-rs only what has a plain name: where they differ, one would run what the other sets.
fn is_assignment(argument: &[u8]) -> Result<bool, NotSudo> {
    let Some(at) = argument.iter().position(|b| *b == b'=').filter(|_| argument.first() != Some(&b'/')) else {
        return Ok(false);
    };
    let plain = at > 0 && argument[..at].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if plain { Ok(true) } else { Err(NotSudo) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<(Option<String>, Option<String>), NotSudo> {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let text = |bytes: Option<Vec<u8>>| bytes.map(|b| String::from_utf8(b).unwrap());
        run_as(&argv).map(|found| (text(found.user), text(found.group)))
    }

    #[test]
    fn options_read_as_sudo_reads_them() {
        for (line, user, group) in [
            ("sudo whoami", None, None),
            ("sudo -u www whoami", Some("www"), None),
            ("sudo -uwww whoami", Some("www"), None),
            ("sudo --user www whoami", Some("www"), None),
            ("sudo --user=www whoami", Some("www"), None),
            ("sudo --us=www whoami", Some("www"), None),
            ("sudo -nu www whoami", Some("www"), None),
            ("sudo -nuwww whoami", Some("www"), None),
            ("sudo -u one -u two whoami", Some("two"), None),
            ("sudo -u #1001 id", Some("#1001"), None),
            ("sudo -g adm id", None, Some("adm")),
            ("sudo --group=adm -u www id", Some("www"), Some("adm")),
            ("sudo whoami -u www", None, None),
            ("sudo -- whoami -u www", None, None),
            ("sudo -u www -- -u root", Some("www"), None),
            ("sudo -i", None, None),
            ("sudo -iu www", Some("www"), None),
            ("sudo -s -u www", Some("www"), None),
            ("sudo -l -U ann", None, None),
            ("sudo -l -U ann -u www ls", Some("www"), None),
            ("sudo -v", None, None),
            ("sudo -e /etc/hosts", None, None),
            ("sudo -p -u whoami", None, None),
            ("sudo -C 3 -T 5 -u www id", Some("www"), None),
            ("sudo -h web2 -u www id", Some("www"), None),
            ("sudo -h", None, None),
            ("sudo A=b -u www id", Some("www"), None),
            ("sudo --preserve-env=PATH -u www id", Some("www"), None),
            ("sudo --pre -u www id", None, None),
            ("sudo - -u www", None, None),
            ("sudo", None, None),
        ] {
            let expected = if line == "sudo --pre -u www id" {
                Err(NotSudo)
            } else {
                Ok((user.map(Into::into), group.map(Into::into)))
            };
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn what_sudo_would_refuse_is_not_guessed_at() {
        for line in ["sudo -u", "sudo --user", "sudo -Z id", "sudo --no-such id", "sudo --lo id"] {
            assert_eq!(read(line), Err(NotSudo), "{line}");
        }
    }

    #[test]
    fn a_line_that_runs_something_else_than_it_seems_is_refused() {
        // sudo 1.9.13 runs `d=1/x -u www id` as root: `--` before an assignment ends the options even as a value.
        for line in [
            "sudo -p -- d=1/x -u www id",
            "sudo -np -- d=1/x -u www id",
            "sudo --prompt -- d=1/x -u www id",
            "sudo -h -- d=1/x -u www id",
            "sudo ./d=1/x -u www id",
            "sudo d.1=1/x -u www id",
            "sudo =x -u www id",
        ] {
            assert_eq!(read(line), Err(NotSudo), "{line}");
        }
        assert_eq!(read("sudo -p-- A=b -u www id"), Ok((Some("www".into()), None)));
        assert_eq!(read("sudo /d=1/x -u www id"), Ok((None, None)));
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_without_panic(argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..6)) {
            let _ = run_as(&argv);
        }
    }
}
