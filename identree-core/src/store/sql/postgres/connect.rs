//! Opening the database: whose it is, and bringing its schema up to date.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, Connection as _, Executor as _};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, TransactionTrait as _};
use sea_orm_migration::MigratorTrait as _;
use tokio::time::timeout;

use super::super::migration::Migrator;
use super::DEADLINE;
use super::address::Address;
use super::error::{ConnectError, is_refusal};

/// How long another server's migration is waited for.
const MIGRATION: Duration = Duration::from_secs(300);
/// The number of the lock that a migration holds: `IDNT`.
const LOCK: i32 = 0x4944_4e54;
/// How long a connection may take to show that it is well before it is given to the next.
const WELL: Duration = Duration::from_secs(1);

/// What the migration's connection may take as long as it needs.
const PATIENT: [(&str, &str); 3] =
    [("statement_timeout", "0"), ("lock_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];

/// Every table, view and sequence of our schema that is not part of an extension.
const TABLES: &str = "SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname";

/// Looks whose the database is, and migrates it; gives the name of the schema.
pub(super) async fn open(address: &Address) -> Result<String, ConnectError> {
    let options = address.options.clone().options(PATIENT);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(DEADLINE).connect_lazy_with(options);
    let opened = timeout(MIGRATION, migrated(address, &pool)).await;
    let opened = opened
        .unwrap_or_else(|_| Err(unavailable(address)("it is locked: another server migrates it, or a lock was left")));
    // It lets the lock go. Not for long: a server that does not answer would be waited for.
    let _ = timeout(WELL, pool.close()).await;
    opened
}

fn unavailable<E: Into<Box<dyn std::error::Error + Send + Sync>>>(address: &Address) -> impl Fn(E) -> ConnectError {
    move |source| ConnectError::Unavailable { place: address.place.clone(), source: source.into() }
}

async fn migrated(address: &Address, pool: &PgPool) -> Result<String, ConnectError> {
    let failed = unavailable(address);
    let database = DatabaseConnection::from(pool.clone());
    let mut connection = match pool.acquire().await {
        Ok(connection) => connection,
        Err(sqlx::Error::PoolTimedOut) => return Err(why_not(address).await),
        Err(error) => return Err(failed(error)),
    };
    let schema = schema(address, &mut connection).await?;
    // Held by the session: of servers that start together one migrates, the others wait for it.
    let lock = "SELECT pg_advisory_lock($1, hashtext(current_schema()))";
    sqlx::query(lock).bind(LOCK).execute(&mut *connection).await.map_err(&failed)?;
    let ours = identify(address, &schema, &mut connection).await?;
    // The one connection of the pool, and so the session that holds the lock.
    drop(connection);
    if ours != Known::UpToDate {
        migrate(&database).await.map_err(|error| match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))
                if is_refusal(inner) =>
            {
                ConnectError::MayNotCreate { place: address.place.clone(), schema: schema.clone() }
            }
            _ => ConnectError::Unavailable { place: address.place.clone(), source: error.into() },
        })?;
    }
    Ok(schema)
}

/// What a pool that had no connection in time does not tell: what becomes of one more try.
async fn why_not(address: &Address) -> ConnectError {
    let silent = "it says nothing: is it down, or does something on the way drop what is sent?";
    match timeout(WELL, PgConnection::connect_with(&address.options)).await {
        Ok(Err(error)) => unavailable(address)(error),
        Ok(Ok(connection)) => {
            let _ = timeout(WELL, connection.close()).await; // it is not needed any more
            unavailable(address)("it answers again, and did not for five seconds: start once more")
        }
        Err(_) => unavailable(address)(silent),
    }
}

/// The schema that our tables are in, or come to.
async fn schema(address: &Address, connection: &mut PgConnection) -> Result<String, ConnectError> {
    let query = "SELECT current_schema()::text, current_setting('search_path'), current_setting('server_encoding')";
    let (schema, path, encoding): (Option<String>, String, String) =
        sqlx::query_as(query).fetch_one(connection).await.map_err(unavailable(address))?;
    if encoding != "UTF8" {
        return Err(ConnectError::Encoding { place: address.place.clone(), encoding });
    }
    schema.ok_or(ConnectError::NoSchema { place: address.place.clone(), path })
}

/// What a schema that we may use holds.
#[derive(PartialEq, Eq)]
enum Known {
    UpToDate,
    ToMigrate,
}

/// Refuses what is not ours, or is newer than us, before the first write.
async fn identify(address: &Address, schema: &str, connection: &mut PgConnection) -> Result<Known, ConnectError> {
    let failed = unavailable(address);
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *connection).await.map_err(&failed)?;
    let Some(first) = tables.first() else { return Ok(Known::ToMigrate) };
    let ours = ["seaql_migrations", "challenges", "documents", "journal", "journal_places"];
    if let Some(missing) = ours.iter().find(|name| !tables.iter().any(|table| table == *name)) {
        tracing::debug!(missing, "the schema is not empty and not ours");
        return Err(ConnectError::Foreign {
            place: address.place.clone(),
            schema: schema.to_owned(),
            found: first.clone(),
        });
    }
    let versions = "SELECT version FROM seaql_migrations ORDER BY version DESC";
    let applied: Vec<String> = sqlx::query_scalar(versions).fetch_all(connection).await.map_err(&failed)?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if let Some(found) = applied.iter().find(|name| !known.contains(name)) {
        return Err(ConnectError::Newer { place: address.place.clone(), found: found.clone() });
    }
    Ok(if applied.len() == known.len() { Known::UpToDate } else { Known::ToMigrate })
}

/// Runs the missing steps, all or none.
async fn migrate(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// The connections that read, and write what is not hot.
pub(super) fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(DEADLINE)
        .after_connect(|connection, _| Box::pin(durable(connection)))
        .after_release(|connection, _| {
            // Whoever gave up waiting leaves a connection that may never answer: it does not hold a place here.
            Box::pin(async move { Ok(timeout(WELL, connection.ping()).await.is_ok_and(|answer| answer.is_ok())) })
        })
        .connect_lazy_with(options)
}

/// Acknowledged means written: whatever is set for the role or the database does not weaken that.
pub(super) async fn durable(connection: &mut PgConnection) -> sqlx::Result<()> {
    let set =
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
    connection.execute(set).await.map(drop)
}
