//! A setting as it is in force, in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{ContentError, Name, VersionError, Versions};

/// A value and the version that it was read from.
#[derive(Debug)]
pub struct InForce<T> {
    /// The version; 0 before there is one.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// Makes a value of a text; the path stands in errors.
pub type ReadText<T> = fn(&Path, &str) -> Result<T, ContentError>;

/// A setting as last read. What cannot be read or used leaves the last good state in force. Cheap to clone.
#[derive(Debug)]
pub struct Live<T>(Arc<Inner<T>>);

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<T> {
    name: Name,
    versions: Versions,
    read: ReadText<T>,
    current: ArcSwap<InForce<T>>,
    seen: watch::Sender<u64>,
    /// A version that was not understood, 0 for none.
    refused: AtomicU64,
    /// Whether the last look went wrong.
    failing: AtomicBool,
}

impl<T> Live<T> {
    /// Reads it; `unset` is in force until there is a version.
    ///
    /// # Errors
    /// [`VersionError`] if it cannot be read, or there is a version that is not understood.
    pub async fn load(versions: Versions, name: Name, unset: T, read: ReadText<T>) -> Result<Self, VersionError> {
        let current = ArcSwap::from_pointee(InForce { version: 0, value: unset });
        let (seen, refused, failing) = (watch::Sender::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let live = Self(Arc::new(Inner { name, versions, read, current, seen, refused, failing }));
        live.try_refresh().await?;
        Ok(live)
    }

    /// What is in force.
    pub fn now(&self) -> Arc<InForce<T>> {
        self.0.current.load_full()
    }

    /// The version in force, and each that replaces it from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.seen.subscribe()
    }

    /// The version in the store that was not understood, if that is so.
    pub fn refused(&self) -> Option<u64> {
        Some(self.0.refused.load(Ordering::Acquire)).filter(|version| *version > 0)
    }

    /// Looks for another version. What goes wrong is told in the log, once, and changes nothing.
    pub async fn refresh(&self) {
        let result = self.try_refresh().await;
        let failed_before = self.0.failing.swap(result.is_err(), Ordering::AcqRel);
        if let (Err(error), false) = (result, failed_before) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "{}: version {} stays in force",
                self.0.name,
                self.now().version
            );
        }
    }

    async fn try_refresh(&self) -> Result<(), VersionError> {
        let inner = &*self.0;
        let current = inner.versions.current(inner.name).await?.map_or(0, |version| version.number);
        // Never back to nothing: a document of this kind is not removed, so what is gone was lost.
        if current == 0 || current == self.now().version || self.refused() == Some(current) {
            return Ok(());
        }
        let (version, text) = inner.versions.in_force(inner.name).await?;
        let current = version.number;
        let place = format!("{}, version {current} in the database", inner.name);
        match (inner.read)(Path::new(&place), &text) {
            Ok(value) => {
                inner.current.store(Arc::new(InForce { version: current, value }));
                inner.refused.store(0, Ordering::Release);
                inner.seen.send_replace(current);
                Ok(())
            }
            Err(error) => {
                inner.refused.store(current, Ordering::Release);
                Err(VersionError::NotUnderstood { name: inner.name, source: error })
            }
        }
    }
}
