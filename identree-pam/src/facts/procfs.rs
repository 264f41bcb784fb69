//! Reading what the kernel says about another process (proc(5)): pure functions over the files' bytes.

/// The real uid: the first number of the `Uid:` line of `/proc/PID/status`.
pub(crate) fn real_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let real = number(numbers.next()?)?;
    // Real, effective, saved, file system: fewer is not a status file.
    (numbers.count() == 3).then(|| u32::try_from(real).ok()).flatten()
}

/// When the process started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
///
/// The second field, the name in parentheses, may itself hold spaces and parentheses; the last `)` ends it.
pub(crate) fn start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    // What follows the name begins with field 3.
    let field = stat.get(end + 1..)?.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(22 - 3)?;
    number(field)
}

/// The arguments in `/proc/PID/cmdline`, each ended by a zero byte; an unended last one counts too.
pub(crate) fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    if cmdline.is_empty() {
        return Vec::new();
    }
    cmdline.strip_suffix(b"\0").unwrap_or(cmdline).split(|b| *b == 0).map(<[u8]>::to_vec).collect()
}

/// The value of a variable in `/proc/PID/environ`; the first one counts, as for getenv(3).
pub(crate) fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environ.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn number(word: &[u8]) -> Option<u64> {
    let digits = word.iter().all(u8::is_ascii_digit) && !word.is_empty();
    digits.then(|| std::str::from_utf8(word).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_uid_is_the_real_one() {
        let status = b"Name:\tsudo\nUmask:\t0022\nUid:\t1001\t0\t0\t0\nGid:\t1001\t1001\t1001\t1001\n";
        assert_eq!(real_uid(status), Some(1001));
        for bad in [
            &b""[..],
            b"Uid:\n",
            b"Uid:\t1001\n",
            b"Uid:\t-1\t0\t0\t0\n",
            b"Uid:\t99999999999\t0\t0\t0\n",
            b"XUid:\t1\t1\t1\t1\n",
        ] {
            assert_eq!(real_uid(bad), None);
        }
        // A process may choose its name, but proc(5) escapes line breaks in it.
        assert_eq!(real_uid(b"Name:\tx\\nUid:\t0\t0\t0\t0\nUid:\t7\t0\t0\t0\n"), Some(7));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_start_time() {
        let stat = |name: &str| format!("42 ({name}) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 9 9");
        for name in ["sudo", "a b", ") S 1 2 (", "((", "))) 1 1"] {
            assert_eq!(start_time(stat(name).as_bytes()), Some(123_456), "{name}");
        }
        assert_eq!(start_time(b"42 (sudo) S 1"), None);
        assert_eq!(start_time(b""), None);
    }

    #[test]
    fn arguments_keep_their_bytes() {
        assert_eq!(arguments(b"sudo\0\0a\xff b\0"), [b"sudo".to_vec(), vec![], b"a\xff b".to_vec()]);
        assert_eq!(arguments(b"sudo\0x"), [b"sudo".to_vec(), b"x".to_vec()]);
        assert!(arguments(b"").is_empty());
    }

    #[test]
    fn the_first_variable_of_a_name_counts() {
        let environ = b"A=1\0SUDO_REASON=why\0SUDO_REASON=other\0XSUDO_REASON=no\0";
        assert_eq!(variable(environ, "SUDO_REASON"), Some(&b"why"[..]));
        assert_eq!(variable(environ, "SUDO"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (real_uid(&bytes), start_time(&bytes), arguments(&bytes), variable(&bytes, "A"));
        }

        #[test]
        fn arguments_round_trip(argv in prop::collection::vec(prop::collection::vec(1..=255u8, 0..8), 1..6)) {
            let cmdline: Vec<u8> = argv.iter().flat_map(|a| a.iter().copied().chain([0])).collect();
            prop_assert_eq!(arguments(&cmdline), argv);
        }
    }
}
