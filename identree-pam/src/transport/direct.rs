//! Straight to the server under the host's own credential, over one kept connection.

use std::time::Duration;

use identree_core::credential::Request;
use identree_core::wire::v1::Reply;
use serde::de::DeserializeOwned;

use super::connection::{Asking, Connection, Peer, read};
use super::{Call, Transport, TransportError, Watch};
use crate::clock::{calendar_secs, now};
use crate::config::Config;

/// The connection to the server, made when first needed and again when it is lost.
#[derive(Debug)]
pub struct Direct<'a> {
    config: &'a Config,
    connection: Connection<'a>,
}

impl<'a> Direct<'a> {
    /// Does nothing yet.
    pub fn new(config: &'a Config, watch: Watch) -> Self {
        Self { config, connection: Connection::new(Peer::of(config), watch) }
    }

    /// One request of the host API under this host's credential, and its reply.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) fn fetch<T: DeserializeOwned>(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
        within: Duration,
    ) -> Result<T, TransportError> {
        let Config { server, hostname, credential, .. } = self.config;
        let authorize = || {
            let covered = Request {
                method,
                authority: &server.authority,
                target,
                host: hostname,
                time_secs: calendar_secs(),
                body: body.unwrap_or_default(),
            };
            Some(credential.authorize(&covered).to_string())
        };
        let response = self.connection.exchange(Asking { method, target, body }, authorize, now() + within)?;
        read(&response)
    }
}

impl Transport for Direct<'_> {
    fn call(&mut self, call: &Call, within: Duration) -> Result<Reply, TransportError> {
        if matches!(call, Call::Cancel(_)) {
            // Whatever made us give up must not keep us from saying so.
            self.connection.watch.stop();
        }
        let body = match call {
            Call::Open(request) => {
                Some(serde_json::to_vec(request).map_err(|e| TransportError::Foreign(e.to_string()))?)
            }
            Call::Wait(..) | Call::Cancel(_) => None,
        };
        let (method, target) = call.line();
        self.fetch(method, &target, body.as_deref(), within)
    }

    fn pause(&mut self, time: Duration) -> Result<(), TransportError> {
        self.connection.watch.wait(None, now() + time).map(drop)
    }
}
