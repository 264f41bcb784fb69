//! `identree serve`.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Done, log};
use crate::boot::Server;
use crate::config::{self, Settings};
use crate::listen::raise_descriptors;

pub(super) async fn run() -> Done {
    let found = config::read();
    let traces = log::start(&found, "info")?;
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
    if let Some(traces) = traces {
        traces.finish().await;
    }
    tracing::info!("stopped");
    Ok(())
}
