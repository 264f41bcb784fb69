//! Budget: none, it is the yardstick of a whole server: the same requests on a bare axum router, without policy, directory, signatures of
//! hosts, pages or limits.
//!
//! usage: `bare-probe --core 0 --store mem|sqlite|postgres --batch 256|1 --hosts N --people N --administrators N`, with its certificate in the
//! current directory, and the database of `--store postgres` in `IDENTREE_DATABASE_DSN`. Prints where it is; approves all that waits at each line of its input, and ends with it.

mod postgres;
mod routes;
mod serve;
mod store;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use identree_benches::Result;
use identree_benches::arguments::value;
use identree_benches::load::{Ended, Registered, SignedIn, Told, each_line, many_descriptors, stay_on_core};
use tokio::net::TcpListener;

use self::routes::Probe;
use self::store::Store;

fn main() -> Result<ExitCode> {
    stay_on_core(value("--core", 0)?)?;
    many_descriptors()?;
    let (store, batch) = (value("--store", "mem".to_owned())?, value("--batch", 256)?);
    let signed_in = |of: &str, count: usize| -> Vec<SignedIn> {
        let one = |n| SignedIn {
            name: format!("{of}-{n}"),
            cookie: format!("identree_session={of}{n:060x}"),
            csrf: format!("{n:064x}"),
        };
        (0..count).map(one).collect()
    };
    let (people, administrators) =
        (signed_in("user", value("--people", 64)?), signed_in("admin", value("--administrators", 1)?));
    let hosts = (0..value("--hosts", 500)?).map(|n| Registered { name: format!("web-{n}"), secret: "00".repeat(32) });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let store = match store.as_str() {
        "mem" => Store::memory(),
        "postgres" => runtime.block_on(Store::postgres(&dsn()?, batch))?,
        _ => Store::sqlite("probe.sqlite3".as_ref(), batch)?,
    };
    let transactions = Arc::clone(&store.transactions);
    let probe = Arc::new(Probe::new(store, people.iter().chain(&administrators)));
    runtime.block_on(async {
        let (plain, tls) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let told =
            Told { plain: plain.local_addr()?, tls: tls.local_addr()?, hosts: hosts.collect(), people, administrators };
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&told)?)?;
        let waiting = Arc::clone(&probe);
        let router = routes::router(probe);
        tokio::spawn(serve::plain(plain, router.clone()));
        tokio::spawn(serve::tls(tls, serve::acceptor()?, router));
        each_line(move || waiting.settle()).await
    })?;
    let ended = Ended { transactions: transactions.load(Ordering::Relaxed) };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&ended)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The address of the database: not an argument, since it has a password.
#[expect(clippy::disallowed_methods, reason = "the yardstick has no settings but this one")]
fn dsn() -> Result<String> {
    Ok(std::env::var("IDENTREE_DATABASE_DSN")?)
}
