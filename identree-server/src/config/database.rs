//! Which database, and how it is reached.

use std::path::PathBuf;

use identree_core::secret::Secret;
use identree_core::text::visible;

use super::{ConfigError, Found, Reader};

/// Where everything is kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which several servers may share.
    Postgres {
        /// Its address, with the password.
        dsn: Secret<String>,
        /// `IDENTREE_DATABASE_MAX_OPEN_CONNS`: the most connections of this server.
        max_connections: u32,
    },
}

impl Database {
    /// What verbs need that only read or write the database.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn from_found(found: &Found) -> Result<Self, ConfigError> {
        let mut reader = Reader { found, problems: found.problems.clone() };
        let data_dir = PathBuf::from(reader.text("IDENTREE_DATA_DIR").unwrap_or_default());
        match reader.database(&data_dir) {
            Some(database) if reader.problems.is_empty() => Ok(database),
            _ => Err(ConfigError(reader.problems)),
        }
    }

    /// The file, unless it is another sort of database.
    pub const fn sqlite(&self) -> Option<&PathBuf> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres { .. } => None,
        }
    }
}

/// Fewer do not do: two write, one hears of other servers, the rest read.
const FEWEST: u32 = 4;
/// As many as when the setting is 0.
const USUAL: u32 = 25;

impl Reader<'_> {
    /// Checks driver and address.
    pub(super) fn database(&mut self, data_dir: &std::path::Path) -> Option<Database> {
        let driver = self.text("IDENTREE_DATABASE_DRIVER").unwrap_or_default();
        let dsn = self.text("IDENTREE_DATABASE_DSN").map(Secret::new);
        let max_connections = self.connections();
        match driver.as_str() {
            "sqlite" | "sqlite3" => {
                let dsn = dsn.as_ref().map(Secret::expose);
                if dsn.is_some_and(|dsn| dsn.contains("://")) {
                    let text =
                        "is the address of a server, not the path of a file: set IDENTREE_DATABASE_DRIVER=postgres";
                    self.problem("IDENTREE_DATABASE_DSN", text);
                }
                Some(Database::Sqlite(dsn.map_or_else(|| data_dir.join("identree.db"), PathBuf::from)))
            }
            "postgres" | "postgresql" | "pg" | "pgx" => {
                if dsn.is_none() {
                    let text = "is not set: postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full, best in a file that \
                                IDENTREE_DATABASE_DSN_FILE names";
                    self.problem("IDENTREE_DATABASE_DSN", text);
                }
                Some(Database::Postgres { dsn: dsn?, max_connections: max_connections? })
            }
            other => {
                let text = format!("\"{}\" is neither sqlite nor postgres", visible(other));
                self.problem("IDENTREE_DATABASE_DRIVER", text);
                None
            }
        }
    }

    fn connections(&mut self) -> Option<u32> {
        let name = "IDENTREE_DATABASE_MAX_OPEN_CONNS";
        match self.number(name, 0..=1000) {
            Some(0) => Some(USUAL),
            Some(few) if few < FEWEST => {
                self.problem(
                    name,
                    format!("must be {FEWEST} or more: two write, one hears of other servers, the rest read"),
                );
                None
            }
            number => number,
        }
    }
}
