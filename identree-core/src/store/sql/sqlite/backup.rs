//! Copying the file as a whole: into a backup while others write, and back.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};

use super::error::{OpenError, open as failed};
use super::open::{BUSY, Whose, check, whose};
use super::{SqliteStore, error};

/// Why there is no copy. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// What was to be copied cannot be, or the copy is damaged.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// There is nothing to copy, or this user may not read it.
    #[error("cannot read {}: check its name, and that this user may read it", error::shown(path))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: Error,
    },
    /// Something is there already.
    #[error("{} is there already, and nothing is overwritten: give another name, or move it away", error::shown(path))]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// Another copy is being made, or one was broken off.
    #[error(
        "{} is there: another copy is being made, or one was broken off; if none is, remove it",
        error::shown(path)
    )]
    Unfinished {
        /// Which file.
        path: PathBuf,
    },
    /// The copy cannot be written.
    #[error(
        "cannot write {}: check that the directory exists, that this user may write to it, and free space",
        error::shown(path)
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: Error,
    },
}

/// What a copy turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// Whether its schema is this version's; else it is older.
    pub current: bool,
}

impl SqliteStore {
    /// Copies a database of ours, also while servers use it: everything that was acknowledged when the copy began is in it. It is one file,
    /// with mode 0600, checked for damage, and there when this returns: never a part of it. An older schema stays as it is.
    ///
    /// # Errors
    /// [`CopyError`] says why there is none. Nothing is overwritten.
    pub async fn back_up(database: &Path, copy: &Path) -> Result<Copied, CopyError> {
        whole(database, copy, |_| Ok(())).await
    }

    /// Makes a database of such a copy, where there is none. Where this process may, the file belongs to the owner of its directory.
    ///
    /// # Errors
    /// [`CopyError`] says why it was not done. Nothing is overwritten, not even what an earlier database left beside its place: SQLite would
    /// play its write-ahead log into the new one.
    pub async fn restore(copy: &Path, database: &Path) -> Result<Copied, CopyError> {
        for beside in ["-wal", "-shm", "-journal"] {
            vacant(&with(database, beside))?;
        }
        whole(copy, database, |file| {
            let directory = std::fs::metadata(parent(database))?;
            let owner = (directory.uid(), directory.gid());
            let is = file.metadata()?;
            if (is.uid(), is.gid()) == owner {
                return Ok(());
            }
            match std::os::unix::fs::fchown(file, Some(owner.0), Some(owner.1)) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                done => done,
            }
        })
        .await
    }
}

/// A path with something behind its name.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn vacant(path: &Path) -> Result<(), CopyError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CopyError::File { path: path.to_owned(), source }),
        Ok(_) => Err(CopyError::Exists { path: path.to_owned() }),
    }
}

/// Makes a whole copy beside its place, and puts it there when it is on the disk.
async fn whole(from: &Path, to: &Path, own: impl FnOnce(&File) -> std::io::Result<()>) -> Result<Copied, CopyError> {
    vacant(to)?;
    let partial = with(to, ".partial");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    let file = file.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CopyError::Unfinished { path: partial.clone() },
        _ => CopyError::File { path: to.to_owned(), source },
    })?;
    let made = async {
        let current = copy(from, &partial).await?;
        own(&file)
            .and_then(|()| file.sync_all())
            .and_then(|()| put(&partial, to))
            .and_then(|()| file.metadata())
            .map(|metadata| Copied { bytes: metadata.len(), current })
            .map_err(|source| CopyError::File { path: to.to_owned(), source })
    };
    let done = made.await;
    if done.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    done
}

/// One reading transaction over the whole file, whatever is written meanwhile (<https://sqlite.org/lang_vacuum.html>). Tells whether the
/// schema is this version's.
async fn copy(from: &Path, partial: &Path) -> Result<bool, CopyError> {
    if let Err(source) = std::fs::metadata(from) {
        return Err(CopyError::Unreadable { path: from.to_owned(), source });
    }
    let reading = SqliteConnectOptions::new().read_only(true).busy_timeout(BUSY).disable_statement_logging();
    let mut database = reading.clone().filename(from).connect().await.map_err(|error| failed(from, error))?;
    let Whose::Ours { current } = whose(from, &mut database).await? else {
        return Err(OpenError::NotADatabase { path: from.to_owned() }.into());
    };
    let name = partial.to_str().ok_or_else(|| CopyError::File {
        path: partial.to_owned(),
        source: Error::new(ErrorKind::InvalidFilename, "the name is not UTF-8"),
    })?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name.to_owned()).execute(&mut database).await;
    copied.map_err(|error| failed(from, error))?;
    database.close().await.map_err(|error| failed(from, error))?;

    let mut copy = reading.filename(partial).connect().await.map_err(|error| failed(partial, error))?;
    check(partial, &mut copy).await?;
    copy.close().await.map_err(|error| failed(partial, error))?;
    Ok(current)
}

/// Gives the finished copy its name, unless something else has got it meanwhile.
fn put(partial: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(partial, to)?;
    std::fs::remove_file(partial)?;
    File::open(parent(to))?.sync_all()
}
