//! `identree heartbeat` and `identree status`: how this host stands, told to the server or on the spot.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use identree_core::text::visible;
use identree_core::wire::heartbeat::Level;
use identree_pam::heartbeat::{Here, collect, send};
use identree_pam::identity::refresh;
use identree_pam::setup::plan::Places;
use identree_pam::terminal::{Stdout, Terminal as _};
use identree_pam::{Config, Place, Reason, claims, glass};

use crate::Done;
use crate::arguments::Arguments;

/// How long the server has to tell of new decision keys.
const KEYS_WITHIN: Duration = Duration::from_secs(10);

/// `heartbeat`: silent when all is well, so that a timer's log is.
pub(crate) fn heartbeat(arguments: &Arguments) -> Done {
    let places = Places::default();
    let mut config = Config::load(&arguments.config, 0)?;
    config.resolver = places.libexec.join("identree-pam");
    let here = Here { places: &places, config: &arguments.config, glass: glass::DIRECTORY.into(), owner: 0 };
    let reply = send(&config, &collect(&here, Some(&config)))?;
    if reply.status != Level::Green {
        Stdout.say(&format!("this host is {}; identree status says why", reply.status.as_str()));
    }
    // A host where nobody asks anything must not miss a new decision key.
    refresh(&arguments.config, 0, KEYS_WITHIN)?;
    Ok(ExitCode::SUCCESS)
}

/// `status`: 0 green, 1 amber, 2 red.
pub(crate) fn status(arguments: &Arguments) -> Done {
    let places = Places::default();
    let config = Config::load(&arguments.config, 0);
    let here = Here { places: &places, config: &arguments.config, glass: glass::DIRECTORY.into(), owner: 0 };
    let heartbeat = collect(&here, config.as_ref().ok());
    let findings = heartbeat.findings(heartbeat.time_secs);
    let mut reasons: Vec<(Level, String)> = findings.iter().map(|one| (one.level(), one.to_string())).collect();
    match &config {
        Err(error) => reasons.push((Level::Red, visible(&error.to_string()).into_owned())),
        Ok(_) => {
            let mut told = Told::default();
            let resolver = places.libexec.join("identree-pam");
            let (config, claims) = (&*arguments.config, Path::new(claims::DIRECTORY));
            let code = identree_pam::check(
                &Place { config, claims, owner: 0, reason: Reason::Stated, resolver: &resolver },
                &mut told,
            );
            if code != 0 {
                // Unreachable shuts the gate, which break-glass opens; what is wrong shuts it for good.
                let level = if code == 3 { Level::Amber } else { Level::Red };
                reasons.push((level, told.last()));
            }
        }
    }
    let level = reasons.iter().map(|(level, _)| *level).max().unwrap_or(Level::Green);
    if arguments.json {
        let texts: Vec<_> = reasons.iter().map(|(_, text)| text).collect();
        let told = serde_json::json!({ "status": level, "reasons": texts, "heartbeat": heartbeat });
        Stdout.say(&told.to_string());
    } else {
        Stdout.say(level.as_str());
        for (level, text) in &reasons {
            Stdout.say(&format!("  {:<6} {text}", level.as_str()));
        }
    }
    Ok(ExitCode::from(match level {
        Level::Green => 0,
        Level::Amber => 1,
        Level::Red => 2,
    }))
}

/// What `--check` says, kept instead of shown.
#[derive(Default)]
struct Told(Vec<String>);

impl identree_pam::Terminal for Told {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

impl Told {
    fn last(&self) -> String {
        let line = self.0.last().map(String::as_str).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ").replacen(" WRONG ", ": ", 1)
    }
}
