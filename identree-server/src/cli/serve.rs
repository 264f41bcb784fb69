//! `identree serve`.

use std::io::IsTerminal as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::Done;
use crate::boot::Server;
use crate::config::{self, Found, Settings};
use crate::listen::raise_descriptors;

pub(super) async fn run() -> Done {
    let found = config::read();
    log(&found, "info")?;
    let settings = Settings::from_found(&found)?;
    for warning in &found.warnings {
        tracing::warn!("{warning}");
    }
    for name in found.without_effect() {
        tracing::warn!("{name} is set, but has no effect yet");
    }
    raise_descriptors();
    let server = Server::boot(settings).await?;
    let (stop, stopped) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    server.run(stopped).await;
    tracing::info!("stopped");
    Ok(())
}

/// Logs to standard error. The level is one word, or a filter as in `identree_server=debug,info`.
pub(super) fn log(found: &Found, unless_set: &str) -> Done {
    let level = found.get("IDENTREE_LOG_LEVEL").map_or(unless_set, |(level, _)| level);
    let filter = EnvFilter::builder().parse(level).map_err(|error| format!("IDENTREE_LOG_LEVEL: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
