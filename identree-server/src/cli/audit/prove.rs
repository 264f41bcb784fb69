//! `identree audit prove`.

use std::path::PathBuf;

use clap::Args;
use identree_core::audit::search::{Wanted, find};
use identree_core::audit::{EventSeq, Statement};

use super::{key_of, note, open, say, tell, without_personal};
use crate::cli::Done;

#[derive(Debug, Args)]
pub(in crate::cli) struct ProveArgs {
    /// The id of a question (all that became of it is proven), the id of an event, or the number of an entry.
    what: String,
    /// An earlier checkpoint: that the log only grew since is proven too.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

pub(super) async fn run(arguments: ProveArgs) -> Done {
    let store = open().await?;
    let key = key_of(&*store).await?;
    let places = match (Wanted::parse(&arguments.what), arguments.what.parse()) {
        (Some(wanted), _) => find(&*store, wanted).await?.into_iter().map(|sealed| sealed.seq).collect(),
        (None, Ok(seq)) => vec![EventSeq(seq)],
        (None, Err(_)) => {
            return Err(
                "neither the id of a question or event (32 hexadecimal digits) nor the number of an entry: `identree audit tail` shows \
                 the ids of questions, with --json those of events"
                    .into(),
            );
        }
    };
    if places.is_empty() {
        return Err("the log has nothing of that id: a question just settled is there within a second; a very old one may have been \
                    removed by retention"
            .into());
    }
    let against = note(&arguments.against)?;
    let statement = Statement::of(&*store, &key, &places, against.as_deref()).await?;
    if let Some(note) = without_personal(&statement.verify(&key)?) {
        tell(&note);
    }
    say(&serde_json::to_string_pretty(&statement)?);
    Ok(())
}
