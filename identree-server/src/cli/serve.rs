//! `identree serve`.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::log;
use crate::boot::{Ended, Server};
use crate::config::{self, Settings};
use crate::listen::raise_descriptors;

/// `EX_TEMPFAIL` of `sysexits.h`: whoever starts services starts this one anew.
const START_ANEW: u8 = 75;

pub(super) async fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
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
    let ended = server.run(stopped).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    tracing::info!("stopped");
    Ok(match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::OnlyARestartHelps => ExitCode::from(START_ANEW),
    })
}
