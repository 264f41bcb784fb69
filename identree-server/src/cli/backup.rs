//! `identree backup | restore`: the database as one file.

use std::path::PathBuf;

use clap::Subcommand;
use identree_core::id::UserName;
use identree_core::text::visible;

use super::Done;
use crate::backup::{back_up, key_files, restore};
use crate::config::{self, DataSettings};

#[derive(Debug, Subcommand)]
pub(super) enum BackupVerb {
    /// Copy the database into one file, also while the server runs.
    Backup {
        /// The file to make; nothing is overwritten.
        file: PathBuf,
    },
    /// Bring such a file back as the database, where there is none and no server runs.
    Restore {
        /// The file that `identree backup` has made.
        file: PathBuf,
    },
}

pub(super) async fn run(verb: BackupVerb) -> Done {
    let settings = DataSettings::from_found(&config::read())?;
    let by = UserName::parse(&format!("uid:{}", rustix::process::getuid().as_raw()))?;
    match verb {
        BackupVerb::Backup { file } => {
            let bytes = back_up(&settings, &file, &by).await?;
            tell(&format!("{} is made and checked: {bytes} bytes", shown(&file)));
        }
        BackupVerb::Restore { file } => {
            let restored = restore(&settings, &file, &by).await?;
            let database = shown(&settings.database);
            tell(&format!("{database} is what {} holds; its log has {} entries", shown(&file), restored.log));
            tell(
                "what happened since is forgotten: rotate and remove again the hosts that were rotated or removed since;",
            );
            tell("whoever keeps later checkpoints of the log will see that it was set back");
        }
    }
    keys(&settings)
}

/// What is needed beside the database.
fn keys(settings: &DataSettings) -> Done {
    let keys = key_files(&settings.data_dir)?;
    tell("not in the backup, and needed with it:");
    tell("  IDENTREE_SHARED_SECRET: without it every host needs a new secret");
    for key in &keys {
        tell(&format!("  {}", shown(key)));
    }
    if keys.is_empty() {
        tell(&format!("  decision.key and log.key, which are not in {} (yet)", shown(&settings.data_dir)));
    }
    tell(
        "  without them no server starts on this database; if decision.key is lost for good every host must be given a new public key;",
    );
    tell("  keep these files as they are, with their modes: cp -p");
    Ok(())
}

fn shown(path: &std::path::Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

#[expect(clippy::print_stderr, reason = "what a verb did is told on the terminal")]
fn tell(text: &str) {
    eprintln!("{text}");
}
