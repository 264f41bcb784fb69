//! What stands behind `pam_identree.so` in the PAM line.

use std::path::PathBuf;

use identree_core::text::visible;
use identree_pam::{Reason, config};

/// How the module was told to work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The host file.
    pub(crate) config: PathBuf,
    /// Whether the person is asked why.
    pub(crate) reason: Reason,
    /// Whether each call and its end go to the system's log.
    pub(crate) debug: bool,
}

impl Options {
    /// Reads the arguments. An unknown one is an error with its remedy: a mistyped option must not weaken anything.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { config: config::PATH.into(), reason: Reason::Stated, debug: false };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("config", path)) if path.starts_with('/') => options.config = path.into(),
                Some(("config", _)) => return Err("option config= needs an absolute path".into()),
                Some(("reason", "ask")) => options.reason = Reason::Ask,
                Some(("reason", "required")) => options.reason = Reason::Required,
                None if argument == "debug" => options.debug = true,
                _ => {
                    return Err(format!("unknown option '{}' in the PAM line; see pam_identree(8)", visible(argument)));
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(&words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_the_manual_names_is_taken() {
        let least = Options { config: config::PATH.into(), reason: Reason::Stated, debug: false };
        assert_eq!(parse(""), Ok(least));
        let all = Options { config: "/etc/x.conf".into(), reason: Reason::Required, debug: true };
        assert_eq!(parse("config=/etc/x.conf reason=required debug"), Ok(all));
        for wrong in ["config=x.conf", "config=", "config", "reason", "reason=never", "debug=1", "nullok", "Debug"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let odd = parse("a\u{1b}[2J").unwrap_err();
        assert!(!odd.contains('\u{1b}') && odd.contains("pam_identree(8)"), "{odd}");
    }
}
