//! `identree audit erase`.

use std::time::Duration;

use clap::Args;
use identree_core::audit::erase::{count, erase, tells_of};
use identree_core::audit::{AuditEvent, EventKind};
use identree_core::id::{EventId, UserName};
use identree_core::rng::{self, OsEntropy};
use identree_core::store::{Batch, Page, Store, StoreError};
use identree_core::time::{Clock as _, SystemClock};

use super::{open, tell};
use crate::cli::Done;

/// How often it is looked whether everything is in the log.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(in crate::cli) struct EraseArgs {
    /// The user name.
    user: UserName,
    /// Do it; without this only the number of entries is told.
    #[arg(long)]
    yes: bool,
    /// How long to wait for a running server to seal what the person did last.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

pub(super) async fn run(arguments: EraseArgs) -> Done {
    let (store, user) = (open().await?, &arguments.user);
    let found = count(&*store, user).await?;
    if !arguments.yes {
        tell(&format!(
            "{} entries of the log tell of {user}, and {} events wait to be sealed that do",
            found.entries,
            waiting(&*store, user).await?
        ));
        tell("with --yes their personal data is erased, for good: also who else took part in them, and what was asked");
        return Ok(());
    }
    let by = UserName::parse(&format!("uid:{}", rustix::process::getuid().as_raw()))?;
    let id = EventId::from_bytes(rng::bytes(&OsEntropy));
    let mut event = AuditEvent::new(id, SystemClock.now(), EventKind::PersonErased);
    (event.actor, event.via) = (Some(by), Some("command line".to_owned()));
    store.commit(Batch::event(event)).await?;
    // What was written before is in the log before it is erased there.
    let deadline = SystemClock.now() + arguments.wait;
    while waiting(&*store, user).await? > 0 && SystemClock.now() < deadline {
        SystemClock.sleep_until(SystemClock.now() + PAUSE).await;
    }
    let erased = erase(&*store, user).await?;
    tell(&format!("the personal data of {} entries is erased; hashes and proofs are as they were", erased.entries));
    tell(
        "not erased: copies with personal data that were exported before (export again into them), what sinks have received, and",
    );
    tell("questions that the server still keeps, which are no part of the log and are swept after a while");
    match waiting(&*store, user).await? {
        0 => Ok(()),
        left => Err(format!(
            "{left} events that tell of {user} are not in the log yet, since no server seals them: start one, and run this again"
        )
        .into()),
    }
}

/// How many events tell of this person that are not in the log yet.
async fn waiting(store: &dyn Store, user: &UserName) -> Result<usize, StoreError> {
    let (mut found, mut page) = (0, Page::first(1000));
    loop {
        let paged = store.unsealed(page).await?;
        found += paged.items.iter().filter(|unsealed| tells_of(&unsealed.event, user)).count();
        match paged.next {
            Some(next) => page.after = Some(next),
            None => return Ok(found),
        }
    }
}
