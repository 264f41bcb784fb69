//! `identree add-host | list-hosts | remove-host | rotate-host-secret`: on the database, beside a running server.

use std::time::Duration;

use clap::{Args, Subcommand};
use identree_core::credential::HostSecret;
use identree_core::enrol::Token;
use identree_core::grant::PublicKey;
use identree_core::id::{HostName, UserName};
use identree_core::text::visible;

use super::Done;
use crate::announced::Announced;
use crate::config::{self, HostSettings};
use crate::decision_key::recorded;
use crate::hosts::{HostCredential, Hosts, Revoke};
use crate::{boot, client_conf};

#[derive(Debug, Subcommand)]
pub(super) enum HostVerb {
    /// Register a host and print, once, its secret or a token with which it makes a key of its own known.
    AddHost {
        /// The host's name.
        name: HostName,
        /// Who may ask on it, separated by commas; `*` is everybody.
        #[arg(long, default_value = "*")]
        users: String,
        /// The group that policies match with `match_host_groups`.
        #[arg(long)]
        group: Option<String>,
        /// Print the whole client.conf instead of the secret alone.
        #[arg(long, conflicts_with = "enroll")]
        client_conf: bool,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// List the registered hosts.
    ListHosts,
    /// Remove a host; its secret or key never works again, and its waiting questions end.
    RemoveHost {
        /// The host's name.
        name: HostName,
    },
    /// Give a host a new secret, or a token for a new key where it has one, and print it, once.
    RotateHostSecret {
        /// The host's name.
        name: HostName,
        /// Print the whole client.conf instead of the secret alone.
        #[arg(long, conflicts_with = "enroll")]
        client_conf: bool,
        #[command(flatten)]
        token: TokenArgs,
        /// Of a token: what the host proves itself with now stops working at once, not when it has enrolled.
        #[arg(long)]
        now: bool,
    },
}

/// How a host is to enrol.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Print a token: the host makes its own key, and has no secret that the server could derive.
    #[arg(long)]
    enroll: bool,
    /// How long the token may be used, from 1m to 24h.
    #[arg(long, default_value = "15m", value_parser = life)]
    ttl: Duration,
}

fn life(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(60)..=Duration::from_secs(24 * 3600);
    let life = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if range.contains(&life) { Ok(life) } else { Err("a token lives from 1m to 24h".to_owned()) }
}

/// What is printed, once.
enum Given {
    Secret(HostSecret, bool),
    Token(Token, Duration),
}

pub(super) async fn run(verb: HostVerb) -> Done {
    let found = config::read();
    let settings = HostSettings::from_found(&found)?;
    let parts = boot::open_parts(&settings).await?;
    let hosts = Hosts::load(parts.clone(), settings.master.clone()).await?;
    // What cannot be told is told before anything changes.
    let key = match &verb {
        HostVerb::AddHost { .. } | HostVerb::RotateHostSecret { .. } => {
            Some(recorded::public_key(&parts, &settings.data_dir).await?)
        }
        HostVerb::RemoveHost { .. } | HostVerb::ListHosts => None,
    };
    // The journal names who ran the verb as the system knows them.
    let by = UserName::parse(&format!("uid:{}", rustix::process::getuid().as_raw()))?;
    let (name, given) = match verb {
        HostVerb::AddHost { name, users, group, token, .. } if token.enroll => {
            let given = hosts.add_invited(&name, users_of(&users)?, group, token.ttl, Some(&by)).await?;
            (name, Given::Token(given, token.ttl))
        }
        HostVerb::AddHost { name, users, group, client_conf, .. } => {
            let secret = hosts.add(&name, users_of(&users)?, group, Some(&by)).await?;
            (name, Given::Secret(secret, client_conf))
        }
        HostVerb::RotateHostSecret { name, client_conf, token, now } => {
            let has_key = hosts.find(&name).is_some_and(|host| host.credential != HostCredential::Secret);
            if has_key && client_conf {
                return Err(format!(
                    "{name} has a key of its own, which no file from here can hold; without --client-conf a token is \
                     printed with which it enrols anew"
                )
                .into());
            }
            if has_key || token.enroll {
                let revoke = if now { Revoke::Now } else { Revoke::WhenEnrolled };
                let given = hosts.invite(&name, token.ttl, revoke, Some(&by)).await?;
                (name, Given::Token(given, token.ttl))
            } else {
                (name.clone(), Given::Secret(hosts.rotate(&name, Some(&by)).await?, client_conf))
            }
        }
        HostVerb::RemoveHost { name } => {
            hosts.remove(&name, Some(&by)).await?;
            tell(&format!("{name} is removed; a running server forgets it within a second"));
            return Ok(());
        }
        HostVerb::ListHosts => {
            return list(&hosts).await;
        }
    };
    key.map_or(Ok(()), |key| print(&settings, key, &name, given))
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the secret is what the verb is for; hints go beside it")]
fn print(settings: &HostSettings, key: PublicKey, name: &HostName, given: Given) -> Done {
    let url = settings.server_url.as_str().trim_end_matches('/');
    match given {
        Given::Secret(secret, true) => {
            let trust = Announced::load(&settings.data_dir, key, settings.decision_root)?.trust();
            let keys = trust.keys.iter().map(|trusted| trusted.key).collect::<Vec<_>>();
            // The statements here may be older than the key.
            let keys = if keys.contains(&key) { keys } else { vec![key] };
            print!("{}", client_conf::text(&settings.server_url, name, &secret, &keys, None));
            if let Some(root) = settings.decision_root {
                println!("IDENTREE_DECISION_ROOT={root}");
            }
        }
        Given::Secret(secret, false) => {
            println!("{}", secret.reveal().expose());
            eprintln!("this is the secret of {name}, shown once; with --client-conf the whole file is printed:");
            eprintln!("  IDENTREE_SERVER_URL={}", settings.server_url);
            eprintln!("  IDENTREE_HOSTNAME={name}");
            eprintln!("  IDENTREE_SHARED_SECRET=<the secret>");
            eprintln!("  IDENTREE_DECISION_KEYS={key}");
        }
        Given::Token(token, life) => {
            println!("{}", token.reveal().expose());
            eprintln!("this is a token for {name}, shown once, good for {}:", humantime::format_duration(life));
            eprintln!("on {name}, as root, run this and give it the token when it asks:");
            eprintln!("  /usr/libexec/identree/identree-host enroll --server {url}");
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what a verb did is told beside what it prints")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the list is what the verb is for")]
async fn list(hosts: &Hosts) -> Done {
    let statuses = hosts.heartbeats().statuses().await?;
    for (name, host) in hosts.list() {
        let users = host
            .users
            .map_or_else(|| "*".to_owned(), |users| users.iter().map(UserName::as_str).collect::<Vec<_>>().join(","));
        let group = host.group.map(|group| format!("  group={group}")).unwrap_or_default();
        let credential = host.credential.as_str();
        let token = host.invitation.map(|open| format!("  token-until={}", open.expires_at)).unwrap_or_default();
        let added = &host.added_at.to_string()[..10];
        let status = statuses.iter().find(|status| status.name == name);
        let level = status.map_or("", |status| status.level.as_str());
        let seen = status.and_then(|status| status.beat.as_ref()).map(|beat| format!("  seen={}", beat.received_at));
        let seen = seen.unwrap_or_default();
        println!(
            "{name}  credential={credential}  users={users}{group}  registered={added}{token}  status={level}{seen}"
        );
        for finding in status.iter().flat_map(|status| &status.findings) {
            // A host chose the names of its services.
            println!("    {}", visible(&finding.to_string()));
        }
    }
    Ok(())
}

fn users_of(text: &str) -> Result<Option<Vec<UserName>>, Box<dyn std::error::Error>> {
    if text.trim() == "*" {
        return Ok(None);
    }
    let users = text.split(',').map(|name| UserName::parse(name.trim())).collect::<Result<_, _>>();
    Ok(Some(users.map_err(|error| format!("--users: {error}"))?))
}
