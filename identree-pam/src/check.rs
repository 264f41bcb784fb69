//! `--check`: what an operator runs before editing PAM.

use identree_core::id::{ChallengeId, Nonce, Target};

use crate::config::Config;
use crate::gate::Place;
use crate::terminal::Terminal;
use crate::transport::{Call, Direct, Transport as _, TransportError, Watch};

/// Reads the host file, reaches the server under the host's credential, and says what is right and what is not. Returns
/// the exit code.
pub fn check(place: &Place<'_>, terminal: &mut dyn Terminal) -> u8 {
    let config = match Config::load(place.config, place.owner) {
        Ok(config) => config,
        Err(error) => {
            terminal.say(&format!("host file  WRONG  {error}"));
            return 4;
        }
    };
    terminal.say(&format!(
        "host file  ok     {} is {} to {}",
        place.config.display(),
        config.hostname,
        config.server.authority
    ));
    if config.is_insecure() {
        terminal.say("host file  WARN   IDENTREE_INSECURE_HTTP is set: questions can be read on the network");
    }
    for name in &config.no_effect {
        terminal.say(&format!("host file  WARN   {name} has no effect yet"));
    }
    // A question that nobody asked: a server that knows this host says that there is no such thing.
    let nobodys = ChallengeId::derive(&Target::Host(config.hostname.clone()), &Nonce::from_bytes([0; 32]));
    let within = config.connect_timeout * 2;
    match Direct::new(&config, Watch::default()).call(&Call::Wait(nobodys, 0), within) {
        Err(TransportError::Problem { status: 404, .. }) | Ok(_) => {
            terminal.say("server     ok     reached, and it knows this host");
            0
        }
        Err(error) => {
            let code = if matches!(error, TransportError::Unreachable(_)) { 3 } else { 4 };
            terminal.say(&format!("server     WRONG  {}", identree_core::text::visible(&error.to_string())));
            code
        }
    }
}
