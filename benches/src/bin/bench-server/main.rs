//! Budget: none, it is what the load programs load: identree's own server as `identree serve` composes it, with hosts registered and people
//! signed in beforehand.
//!
//! usage: `bench-server --core 0 --store mem|sqlite|postgres --batch 256|1 --hosts N --people N --administrators N`, with the settings of a server in
//! the environment. Prints where it is; approves all that waits at each line of its input, and ends with it.

mod fill;
mod one_by_one;
mod settle;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::load::{Ended, Told, each_line, many_descriptors, stay_on_core};
use identree_core::rng::OsEntropy;
use identree_core::store::{MemoryStore, PostgresOptions, PostgresStore, SqliteStore, Store};
use identree_core::time::SystemClock;
use identree_server::boot::Server;
use identree_server::config::{self, Database, Settings};
use identree_server::listen::Listener;
use identree_server::parts::Parts;
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::one_by_one::OneByOne;

/// As in an `identree` that is built for use.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<ExitCode> {
    stay_on_core(value("--core", 0)?)?;
    many_descriptors()?;
    // As `identree serve` logs unless told otherwise.
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(Targets::new().with_default(LevelFilter::INFO)).with(log).init();
    let settings = Settings::from_found(&config::read())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(settings))?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&ended)?)?;
    Ok(ExitCode::SUCCESS)
}

/// How many transactions there were.
type Count = Box<dyn Fn() -> u64 + Send>;

async fn run(settings: Settings) -> Result<Ended> {
    let (store, count): (Arc<dyn Store>, Count) =
        match (value("--store", "mem".to_owned())?.as_str(), &settings.database) {
            ("sqlite", Database::Sqlite(file)) => {
                let store = SqliteStore::open(file).await?;
                (Arc::new(store.clone()), Box::new(move || store.transactions()))
            }
            ("postgres", Database::Postgres { dsn, .. }) => {
                let store = PostgresStore::connect(dsn.expose(), PostgresOptions::default()).await?;
                (Arc::new(store.clone()), Box::new(move || store.transactions()))
            }
            ("mem", _) => (Arc::new(MemoryStore::new()), Box::new(|| 0)),
            (other, _) => return Err(format!("--store {other} and IDENTREE_DATABASE_DRIVER do not go together").into()),
        };
    let store = if value("--batch", 256)? == 1 { Arc::new(OneByOne::new(store)) } else { store };
    let parts = Parts { store: Arc::clone(&store), clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) };
    let hosts = fill::hosts(parts.clone(), settings.master.clone(), value("--hosts", 500)?).await?;
    let people = fill::people(&parts, "user", value("--people", 64)?, &[]).await?;
    let administrators = fill::people(&parts, "admin", value("--administrators", 1)?, &settings.admin_groups).await?;

    let (certificate, key) = settings.tls_files.clone().ok_or("no certificate")?;
    let (plain, tls) = (settings.listen, settings.tls_listen.ok_or("no address for TLS")?);
    let listeners = (Listener::plain(plain).await?, Listener::tls(tls, &certificate, &key).await?);
    let server = Server::boot_over(settings, (Some(listeners.0), Some(listeners.1)), store).await?;
    let (Some(plain), Some(tls)) = server.addresses() else { return Err("not bound".into()) };
    let before = count();
    let engine = server.engine().clone();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.run(stopped));
    let told = Told { plain, tls, hosts, people, administrators };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&told)?)?;

    let runtime = tokio::runtime::Handle::current();
    each_line(move || drop(runtime.spawn(settle::all(engine.clone())))).await?;
    let transactions = count() - before;
    stop.send_replace(true);
    serving.await?;
    Ok(Ended { transactions })
}
