//! A web service whose deploy route waits until a person approves: `cargo run -p deploy-gate`, or with `-- --demo` to see it
//! ask itself once.
//!
//! **Who a caller is, is taken on trust here**: whatever the header `x-example-user` or the form says. A real program puts
//! its sign-in in that place; [`gate::caller`] and [`page::vote`] are the only two that would change.

mod demo;
mod gate;
mod page;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write;

use axum::Router;
use identree_core::Engine;
use identree_core::directory::FixedDirectory;
use identree_core::id::{GroupName, UserName};
use identree_core::policy::RuleSet;
use identree_core::store::MemoryStore;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let engine = engine().await?;
    let out = &mut std::io::stdout().lock();
    if std::env::args().any(|argument| argument == "--demo") {
        return demo::run(listener, engine, out).await;
    }
    let base = format!("http://{}", listener.local_addr()?);
    writeln!(out, "Ask (it waits until somebody approves):")?;
    writeln!(out, "  curl -X POST -H 'x-example-user: ann' '{base}/deploy?to=shop/production&version=4.2'")?;
    writeln!(out, "Approve as Ada, in a browser: {base}/")?;
    writeln!(out, "A rule lets this one pass at once:")?;
    writeln!(out, "  curl -X POST -H 'x-example-user: ann' '{base}/deploy?to=shop/staging&version=4.2'")?;
    writeln!(out, "With a key a caller may hang up and ask again, and is still deployed only once:")?;
    writeln!(
        out,
        "  curl -X POST -H 'x-example-user: ann' -H 'idempotency-key: 1' '{base}/deploy?to=shop/production&version=4.3'"
    )?;
    writeln!(out, "Ctrl-C ends it. Everybody is believed to be who they say: this is an example.")?;
    serve(listener, engine, async { drop(tokio::signal::ctrl_c().await) }).await
}

/// Serves until told to stop; then whoever waits is answered, and no question is left.
async fn serve(
    listener: TcpListener,
    engine: Engine,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let draining = engine.clone();
    let stopped = async move {
        stop.await;
        draining.drain();
    };
    axum::serve(listener, router(engine.clone())).with_graceful_shutdown(stopped).await?;
    engine.shutdown().await;
    Ok(())
}

fn router(engine: Engine) -> Router {
    gate::routes(engine.clone()).merge(page::routes(engine))
}

/// Staging passes; production wants a lead who is not the one who asks. Ada is a lead.
async fn engine() -> Result<Engine, Box<dyn Error>> {
    let leads = GroupName::parse("leads")?;
    let engine = Engine::builder()
        .store(MemoryStore::new()) // a real program uses a store that survives a restart
        .policy(RuleSet::parse(include_str!("../policies.toml"))?)
        .directory(FixedDirectory::new([(UserName::parse("ada")?, vec![leads.clone()])]))
        .admin_groups(vec![leads])
        .build()
        .await?;
    Ok(engine)
}
