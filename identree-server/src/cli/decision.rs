//! `identree rotate-decision-key`: a new key that signs answers, introduced to hosts by the old one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use identree_core::grant::Signer as _;
use identree_core::id::UserName;
use identree_core::rng::OsEntropy;
use identree_core::time::{Clock as _, SystemClock};

use super::Done;
use crate::config::{self, HostSettings};
use crate::decision_key::recorded;
use crate::decision_key::rotate::{Rotation, rotate};
use crate::{boot, decision_key};

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// How long the old key goes on counting: until every host has heard of the new one, and the server was started anew.
    #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
    overlap: Duration,
    /// The private half of the offline root key (`IDENTREE_DECISION_ROOT`), where hosts pin one.
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// The key of this database is lost for good: take the one in this data directory, made if there is none. No host follows.
    #[arg(long, conflicts_with_all = ["overlap", "root_key"], requires = "yes")]
    lost: bool,
    /// With `--lost`: other servers over this database that have another key do not start any more.
    #[arg(long, requires = "lost")]
    yes: bool,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the new key is what the verb is for; hints go beside it"
)]
pub(super) async fn run(arguments: RotateArgs) -> Done {
    let settings = HostSettings::from_found(&config::read())?;
    let parts = boot::open_parts(&settings).await?;
    let by = UserName::parse(&format!("uid:{}", rustix::process::getuid().as_raw()))?;
    if arguments.lost {
        let key = recorded::replace_lost(&parts, &settings.data_dir, &by).await?;
        println!("{key}");
        eprintln!(
            "this is the decision key of this database now; no host believes it by itself: put its public half into"
        );
        eprintln!(
            "  IDENTREE_DECISION_KEYS of each client.conf and remove client.state beside it, or let the host enrol anew;"
        );
        eprintln!("  then start the server, and each other server over this database with this decision.key");
        return Ok(());
    }
    let root = arguments.root_key.as_deref().map(decision_key::load).transpose()?;
    if let Some(root) = &root {
        eprintln!("the root key is {}; hosts pin it as IDENTREE_DECISION_ROOT", root.public_key());
    }
    let rotation = Rotation {
        data_dir: &settings.data_dir,
        overlap: arguments.overlap,
        root: (settings.decision_root, root),
        now: SystemClock.now(),
    };
    // Nothing is introduced by a key that signs nothing here.
    let old = recorded::signer(&parts, &settings.data_dir).await?.public_key();
    let rotated = rotate(&rotation, &OsEntropy).await?;
    if let Err(error) = recorded::rotated(&parts, old, &rotated, &by).await {
        eprintln!(
            "the files hold the new key {}, and the database was not told; where it could not be reached, the",
            rotated.key
        );
        eprintln!(
            "next start of the server on this data directory tells it. Hosts may have heard of the new key by now: where"
        );
        eprintln!("another rotation counts instead, those enrol anew");
        return Err(error.into());
    }
    println!("{}", rotated.key);
    eprintln!("this is the new decision key, statement {}; hosts hear of it with their next answer", rotated.epoch);
    if arguments.overlap.is_zero() {
        eprintln!("the old key counts no more: start the server anew NOW, it still signs with the old one");
    } else {
        let overlap = humantime::format_duration(arguments.overlap);
        eprintln!("start the server anew within {overlap}: it signs with the old key until then");
    }
    eprintln!(
        "other servers over this database start with the new decision.key and decision.keys only: copy both to them"
    );
    Ok(())
}
