//! `identree audit export`.

use std::path::PathBuf;

use clap::Args;
use identree_core::audit::Checkpoint;
use identree_core::audit::copy::{Export, export};

use super::{key_of, note, open, shown, tell};
use crate::cli::Done;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Where to: a new directory, or one of an earlier export.
    directory: PathBuf,
    /// Copy personal data too; without it the copy names nobody.
    #[arg(long)]
    with_personal: bool,
    /// Leave out what is before this checkpoint, which whoever gets the copy has verified already.
    #[arg(long, value_name = "FILE")]
    from_checkpoint: Option<PathBuf>,
}

pub(super) async fn run(arguments: ExportArgs) -> Done {
    let store = open().await?;
    let key = key_of(&*store).await?;
    let from = note(&arguments.from_checkpoint)?.map(|note| Checkpoint::open(&note, &key)).transpose()?;
    let export_to = Export {
        key: &key,
        dir: &arguments.directory,
        with_personal: arguments.with_personal,
        from: from.map_or(0, |checkpoint| checkpoint.size),
    };
    let exported = export(&*store, &export_to).await?;
    let added = exported.size - exported.before;
    tell(&format!(
        "{} has the log up to entry {}, {added} of them new, and {} new checkpoints",
        shown(&arguments.directory),
        exported.size,
        exported.checkpoints
    ));
    if exported.first > 0 {
        tell(&format!("it begins at entry {}", exported.first));
    }
    tell(&format!("verify it with: identree audit verify {} --key '{key}'", shown(&arguments.directory)));
    Ok(())
}
