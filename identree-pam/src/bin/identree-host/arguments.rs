//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use identree_pam::config;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Setup,
    RotateBreakglass,
    VerifyBreakglass,
    Doctor,
    Status,
    Heartbeat,
    Enroll,
    RotateKey,
    Help,
    Version,
}

/// How.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
pub(crate) struct Arguments {
    pub(crate) verb: Verb,
    pub(crate) config: PathBuf,
    /// Where to enrol.
    pub(crate) server: Option<String>,
    /// The authority that signed the server's certificate.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) services: Vec<String>,
    pub(crate) remove: bool,
    pub(crate) dry_run: bool,
    pub(crate) keep_password: bool,
    pub(crate) auditd: bool,
    pub(crate) user: String,
    pub(crate) json: bool,
    pub(crate) break_glass_hash: Option<PathBuf>,
    pub(crate) no_break_glass: bool,
    pub(crate) without_server: bool,
    /// For tests: before which step setup kills itself, as a crash would.
    pub(crate) abort_at: Option<usize>,
}

impl Arguments {
    /// Reads them. An option that the verb does not have is wrong.
    pub(crate) fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = Self {
            verb: Verb::Help,
            config: config::PATH.into(),
            server: None,
            ca: None,
            services: Vec::new(),
            remove: false,
            dry_run: false,
            keep_password: false,
            auditd: false,
            user: "nobody".to_owned(),
            json: false,
            break_glass_hash: None,
            no_break_glass: false,
            without_server: false,
            abort_at: None,
        };
        let first = given.next();
        arguments.verb = match first.as_deref().map(|word| word.to_str()) {
            None | Some(Some("--help" | "-h" | "help")) => return Ok(arguments),
            Some(Some("--version" | "-V")) => Verb::Version,
            Some(Some("setup")) => Verb::Setup,
            Some(Some("rotate-breakglass")) => Verb::RotateBreakglass,
            Some(Some("verify-breakglass")) => Verb::VerifyBreakglass,
            Some(Some("doctor")) => Verb::Doctor,
            Some(Some("status")) => Verb::Status,
            Some(Some("heartbeat")) => Verb::Heartbeat,
            Some(Some("enroll")) => Verb::Enroll,
            Some(Some("rotate-key")) => Verb::RotateKey,
            Some(Some(other)) => return Err(format!("unknown verb '{}'", identree_core::text::visible(other))),
            Some(None) => return Err("the verb is not text".to_owned()),
        };
        while let Some(argument) = given.next() {
            let option = argument.into_string().map_err(|_| "an option is not text".to_owned())?;
            let mut value = || given.next().ok_or_else(|| format!("{option} needs a value"));
            let text = |value: OsString| value.into_string().map_err(|_| "a value is not text".to_owned());
            match (arguments.verb, &*option) {
                (_, "--help" | "-h") => arguments.verb = Verb::Help,
                (_, "--config") => arguments.config = value()?.into(),
                (Verb::Enroll, "--server") => arguments.server = Some(text(value()?)?),
                (Verb::Enroll, "--ca") => arguments.ca = Some(value()?.into()),
                (Verb::Setup, "--service") => arguments.services.push(text(value()?)?),
                (Verb::Setup, "--remove") => arguments.remove = true,
                (Verb::Setup, "--dry-run") => arguments.dry_run = true,
                (Verb::Setup, "--keep-password") => arguments.keep_password = true,
                (Verb::Setup, "--auditd") => arguments.auditd = true,
                (Verb::Setup | Verb::Doctor, "--user") => arguments.user = text(value()?)?,
                (Verb::Doctor | Verb::Status, "--json") => arguments.json = true,
                (Verb::Setup, "--break-glass-hash") => arguments.break_glass_hash = Some(value()?.into()),
                (Verb::Setup, "--no-break-glass") => arguments.no_break_glass = true,
                (Verb::Setup, "--without-server") => arguments.without_server = true,
                // Not in what hosts are given: nobody is to leave a host half done by an option.
                #[cfg(debug_assertions)]
                (Verb::Setup, "--abort-at") => {
                    let number = text(value()?)?.parse().map_err(|_| "--abort-at needs a number".to_owned())?;
                    arguments.abort_at = Some(number);
                }
                _ => return Err(format!("unknown option '{}'", identree_core::text::visible(&option))),
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_verb_and_its_own_options() {
        let setup = parse("setup --service su --service sudo --dry-run --break-glass-hash -").unwrap();
        assert_eq!((setup.verb, setup.services), (Verb::Setup, vec!["su".to_owned(), "sudo".to_owned()]));
        assert!(setup.dry_run && !setup.remove && setup.break_glass_hash == Some("-".into()));
        assert_eq!(Arguments::parse(std::iter::empty()).unwrap().verb, Verb::Help);
        for wrong in [
            "sudo",
            "setup --fast",
            "verify-breakglass --dry-run",
            "setup --service",
            "setup --abort-at x",
            "setup --ca x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
