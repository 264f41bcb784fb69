//! `identree add-host | list-hosts | remove-host | rotate-host-secret`: on the database, beside a running server.

use clap::Subcommand;
use identree_core::grant::Signer as _;
use identree_core::id::{HostName, UserName};
use identree_core::rng::OsEntropy;

use super::Done;
use crate::config::{self, HostSettings};
use crate::{boot, client_conf, decision_key};

#[derive(Debug, Subcommand)]
pub(super) enum HostVerb {
    /// Register a host and print its secret, once.
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
        #[arg(long)]
        client_conf: bool,
    },
    /// List the registered hosts.
    ListHosts,
    /// Remove a host; its secret never works again.
    RemoveHost {
        /// The host's name.
        name: HostName,
    },
    /// Give a host a new secret and print it, once.
    RotateHostSecret {
        /// The host's name.
        name: HostName,
        /// Print the whole client.conf instead of the secret alone.
        #[arg(long)]
        client_conf: bool,
    },
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the secret is what the verb is for; hints go beside it")]
pub(super) async fn run(verb: HostVerb) -> Done {
    let found = config::read();
    let settings = HostSettings::from_found(&found)?;
    let hosts = boot::open_hosts(&settings).await?;
    // The journal names who ran the verb as the system knows them.
    let by = UserName::parse(&format!("uid:{}", rustix::process::getuid().as_raw()))?;
    let (name, secret, whole) = match verb {
        HostVerb::AddHost { name, users, group, client_conf } => {
            let secret = hosts.add(&name, users_of(&users)?, group, Some(&by)).await?;
            (name, secret, client_conf)
        }
        HostVerb::RotateHostSecret { name, client_conf } => {
            let secret = hosts.rotate(&name, Some(&by)).await?;
            (name, secret, client_conf)
        }
        HostVerb::RemoveHost { name } => {
            hosts.remove(&name, Some(&by)).await?;
            eprintln!("{name} is removed; a running server forgets it within a second");
            return Ok(());
        }
        HostVerb::ListHosts => {
            for (name, host) in hosts.list() {
                let users = host.users.map_or_else(
                    || "*".to_owned(),
                    |users| users.iter().map(UserName::as_str).collect::<Vec<_>>().join(","),
                );
                let group = host.group.map(|group| format!("  group={group}")).unwrap_or_default();
                println!("{name}  users={users}{group}  registered={}", &host.added_at.to_string()[..10]);
            }
            return Ok(());
        }
    };
    let key = decision_key::load_or_make(&settings.data_dir, &OsEntropy)?.public_key();
    if whole {
        print!("{}", client_conf::text(&settings.server_url, &name, &secret, &key, None));
    } else {
        println!("{}", secret.reveal().expose());
        eprintln!("this is the secret of {name}, shown once; with --client-conf the whole file is printed:");
        eprintln!("  IDENTREE_SERVER_URL={}", settings.server_url);
        eprintln!("  IDENTREE_HOSTNAME={name}");
        eprintln!("  IDENTREE_SHARED_SECRET=<the secret>");
        eprintln!("  IDENTREE_DECISION_KEYS={key}");
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
