//! `identree enroll` and `identree rotate-key`: this host's own key.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use identree_core::enrol::Token;
use identree_pam::enrol::{Enrol, enrol};
use identree_pam::identity::replace_key;
use identree_pam::terminal::{Echo, Stdout, Terminal as _};
use zeroize::Zeroizing;

use crate::Done;
use crate::arguments::Arguments;
use crate::tty::Tty;

/// How long the server has.
const WITHIN: Duration = Duration::from_secs(30);
/// A token is one line.
const MAX_TOKEN_BYTES: u64 = 4096;

/// `enroll`: the token comes from the terminal, or is one line of standard input; it is never an argument.
pub(crate) fn run(arguments: &Arguments) -> Done {
    let server = arguments.server.as_deref().ok_or("enroll needs --server https://…, the address of the server")?;
    let text = if io::stdin().is_terminal() {
        let mut tty = Tty::open().ok_or("there is no terminal to ask on")?;
        Zeroizing::new(tty.ask("Token of `identree add-host NAME --enroll`: ", Echo::Off)?.expose().clone())
    } else {
        let mut text = Zeroizing::new(String::new());
        io::stdin().take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
        text
    };
    let token = Token::parse(text.trim()).map_err(|error| format!("the token: {error}"))?;
    let ca = arguments.ca.as_deref();
    let enrolled = enrol(&Enrol { server, token: &token, config: &arguments.config, ca, owner: 0, within: WITHIN })?;
    Stdout.say(&format!("this host is {} now, with the key {}", enrolled.hostname, enrolled.key));
    Stdout.say(&format!("its host file is {}; next: identree setup", enrolled.config.display()));
    Ok(ExitCode::SUCCESS)
}

/// `rotate-key`: a new key, which the old one signs for.
pub(crate) fn rotate(config: &Path) -> Done {
    let key = replace_key(config, 0, WITHIN)?;
    Stdout.say(&format!("this host has the key {key} now; the old one works no more"));
    Ok(ExitCode::SUCCESS)
}
