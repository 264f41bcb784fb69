//! What every host is told by this server: whose answers count, and which settings it should keep to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use identree_core::grant::{KeyStatement, PublicKey, SignedStatement, Trust, TrustedKey};
use identree_core::time::Clock;
use identree_core::wire::settings::ClientSettings;

use crate::versioned::Followed;

/// The file of statements about decision keys, in the data directory. Nothing in it is secret.
pub const FILE_NAME: &str = "decision.keys";

/// How soon a rotation by another process is told.
const REFRESH: Duration = Duration::from_secs(1);

/// Why the statements cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncedError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not hold what `identree rotate-decision-key` writes.
    #[error("{path}: is damaged; restore it from a backup: without it hosts that were away cannot follow a rotation", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// What hosts are told. Cheap to clone; every clone sees the same.
#[derive(Debug, Clone)]
pub struct Announced {
    key: PublicKey,
    root: Option<PublicKey>,
    followed: Option<Followed>,
    file: Option<PathBuf>,
    statements: Arc<ArcSwap<Vec<SignedStatement>>>,
}

impl Announced {
    /// One key, and nothing that changes.
    pub fn fixed(key: PublicKey) -> Self {
        Self { key, root: None, followed: None, file: None, statements: Arc::default() }
    }

    /// With what stands in the data directory.
    ///
    /// # Errors
    /// [`AnnouncedError`] if it cannot be used.
    pub fn load(data_dir: &Path, key: PublicKey, root: Option<PublicKey>) -> Result<Self, AnnouncedError> {
        let file = data_dir.join(FILE_NAME);
        let statements = Arc::new(ArcSwap::from_pointee(read(&file)?));
        Ok(Self { key, root, followed: None, file: Some(file), statements })
    }

    /// The same, with the settings of hosts that are in force at each moment.
    #[must_use]
    pub fn following(self, followed: Followed) -> Self {
        Self { followed: Some(followed), ..self }
    }

    /// All statements about decision keys, oldest first.
    pub fn statements(&self) -> Vec<SignedStatement> {
        self.statements.load().to_vec()
    }

    /// What a host that enrols now is to believe.
    pub fn trust(&self) -> Trust {
        let last = self.statements.load().last().and_then(|signed| KeyStatement::decode(&signed.bytes).ok());
        let (epoch, keys) = last.map_or_else(
            || (0, vec![TrustedKey { key: self.key, until: None }]),
            |statement| (statement.epoch, statement.keys),
        );
        Trust { epoch, keys, root: self.root }
    }

    /// What the server asks of its hosts.
    pub fn settings(&self) -> ClientSettings {
        self.followed.as_ref().map(Followed::client).unwrap_or_default()
    }

    /// Looks for new statements, now and then. Ends when the future is dropped.
    pub async fn follow(&self, clock: &dyn Clock) {
        loop {
            clock.sleep_until(clock.now() + REFRESH).await;
            self.refresh();
        }
    }

    /// Looks for new statements; what cannot be read leaves the last ones.
    pub fn refresh(&self) {
        let Some(file) = &self.file else { return };
        match read(file) {
            Ok(statements) if **self.statements.load() != statements => self.statements.store(Arc::new(statements)),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "decision keys are told as before"),
        }
    }
}

/// The statements in a file; none if there is no file.
///
/// # Errors
/// [`AnnouncedError`] if it cannot be read or is something else.
pub fn read(path: &Path) -> Result<Vec<SignedStatement>, AnnouncedError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(AnnouncedError::Io { path: path.to_owned(), source }),
    };
    let damaged = || AnnouncedError::Damaged { path: path.to_owned() };
    let statements: Vec<SignedStatement> = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let sound = statements.iter().all(|signed| KeyStatement::decode(&signed.bytes).is_ok());
    if sound { Ok(statements) } else { Err(damaged()) }
}
