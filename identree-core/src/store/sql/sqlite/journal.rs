//! Reading what is not in the log yet, by hand: the sealer reads every event once, thousands at a time, and each is decoded where
//! SQLite has it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Rows};

use super::super::window::Window;
use super::{error, open};
use crate::store::{Page, Paged, StoreError, Unsealed};

/// A connection that only reads; opened when it is first wanted, and anew after an error.
#[derive(Debug, Clone)]
pub(super) struct Reader(Arc<(Box<Path>, Mutex<Option<Connection>>)>);

impl Reader {
    /// Of a file that is open already.
    pub(super) fn new(path: &Path) -> Self {
        Self(Arc::new((path.into(), Mutex::default())))
    }

    /// A page of what is not in the log yet.
    pub(super) async fn page(&self, page: Page) -> Result<Paged<Unsealed>, StoreError> {
        let shared = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let (path, kept) = &*shared;
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match kept.take() {
                Some(connection) => connection,
                None => open::reader(path).map_err(error::read)?,
            };
            let read = read(&connection, &Window::of(page));
            if matches!(read, Ok(_) | Err(Failure::Event(_))) {
                *kept = Some(connection);
            }
            read.map_err(|failure| match failure {
                Failure::Database(error) => error::read(error),
                Failure::Event(source) => super::super::error::corrupt("journal")(source),
            })
        });
        // It does not panic; a runtime that ends gives an error.
        read.await.map_err(|error| StoreError::Unavailable(error.into()))?
    }
}

enum Failure {
    Database(rusqlite::Error),
    Event(Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn read(connection: &Connection, window: &Window) -> Result<Paged<Unsealed>, Failure> {
    let mut query = connection.prepare_cached("SELECT seq, event FROM journal WHERE seq > ? ORDER BY seq LIMIT ?")?;
    let rows = i64::try_from(window.rows()).unwrap_or(i64::MAX);
    let mut items = decode(query.query([window.after.unwrap_or(0), rows])?)?;
    let next = window.cut(&mut items, |one| i64::try_from(one.place).unwrap_or(i64::MAX));
    Ok(Paged { items, next })
}

fn decode(mut rows: Rows<'_>) -> Result<Vec<Unsealed>, Failure> {
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let place = u64::try_from(row.get::<_, i64>(0)?).map_err(|source| Failure::Event(source.into()))?;
        let text = row.get_ref(1)?.as_bytes().map_err(|source| Failure::Event(source.into()))?;
        let event = serde_json::from_slice(text).map_err(|source| Failure::Event(source.into()))?;
        items.push(Unsealed { place, event });
    }
    Ok(items)
}
