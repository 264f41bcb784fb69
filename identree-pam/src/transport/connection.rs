//! One connection to the server, made when it is needed and again when it is lost; and what its answers are read as.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identree_core::wire::v1::Problem;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use super::http1::{self, Response};
use super::stream::{Stream, tls_config};
use super::{TransportError, Watch, resolve};
use crate::clock::{Moment, now};
use crate::config::{Config, OWN_PROGRAM, ServerUrl};

/// Whom to talk to, and whom to believe that it is them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) server: &'a ServerUrl,
    pub(crate) ca_pem: Option<&'a [u8]>,
    pub(crate) connect_timeout: Duration,
    pub(crate) resolver: &'a Path,
}

impl<'a> Peer<'a> {
    pub(crate) fn of(config: &'a Config) -> Self {
        let Config { server, ca_pem, connect_timeout, resolver, .. } = config;
        Self { server, ca_pem: ca_pem.as_deref(), connect_timeout: *connect_timeout, resolver }
    }

    /// Without a host file yet.
    pub(crate) fn new(server: &'a ServerUrl, ca_pem: Option<&'a [u8]>, connect_timeout: Duration) -> Self {
        Self { server, ca_pem, connect_timeout, resolver: Path::new(OWN_PROGRAM) }
    }
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) body: Option<&'a [u8]>,
}

#[derive(Debug)]
pub(crate) struct Connection<'a> {
    peer: Peer<'a>,
    pub(super) watch: Watch,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<Stream>,
}

impl<'a> Connection<'a> {
    /// Does nothing yet.
    pub(crate) const fn new(peer: Peer<'a>, watch: Watch) -> Self {
        Self { peer, watch, tls: None, stream: None }
    }

    /// Connects, resolution and TLS handshake included, within the configured time or `until` if that comes sooner.
    fn connected(&mut self, until: Moment) -> Result<Stream, TransportError> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        let Peer { server, ca_pem, connect_timeout, resolver } = self.peer;
        let until = until.min(now() + connect_timeout);
        if server.tls && self.tls.is_none() {
            self.tls = Some(tls_config(ca_pem)?);
        }
        let addresses = match server.literal() {
            Some(addresses) => addresses.into_iter().map(|address| SocketAddr::new(address, server.port)).collect(),
            None => resolve::addresses(resolver, &server.host, server.port, &self.watch, until)?,
        };
        let tls = self.tls.clone().map(|config| (config, &*server.host));
        let mut stream = Stream::open(&addresses, tls, &self.watch, until)?;
        // The handshake belongs to connecting and its time.
        stream.send(&[], &self.watch, until)?;
        Ok(stream)
    }

    /// Sends one request and reads its response. `authorize` makes the credential once there is somebody to send it to.
    pub(crate) fn exchange(
        &mut self,
        asking: Asking<'_>,
        authorize: impl FnOnce() -> Option<String>,
        until: Moment,
    ) -> Result<Response, TransportError> {
        let mut stream = self.connected(until)?;
        let Asking { method, target, body } = asking;
        let bytes = http1::request(method, target, &self.peer.server.authority, authorize().as_deref(), body);
        stream.send(&bytes, &self.watch, until)?;
        let mut received = Vec::new();
        loop {
            let open = stream.receive(&mut received, &self.watch, until)?;
            match http1::response(&received) {
                Ok(Some(response)) => {
                    if response.keep && open {
                        self.stream = Some(stream);
                    }
                    return Ok(response);
                }
                Ok(None) if open => {}
                Ok(None) => return Err(TransportError::Unreachable("the server closed the connection".into())),
                Err(e) => return Err(TransportError::Foreign(e.to_string())),
            }
        }
    }
}

/// A reply, or the problem the server states. Redirects are never followed.
pub(crate) fn read<T: DeserializeOwned>(response: &Response) -> Result<T, TransportError> {
    match response.status {
        200..300 => serde_json::from_slice(&response.body)
            .map_err(|_| TransportError::Foreign("its reply is not one of the host API".into())),
        300..400 => Err(TransportError::Foreign(format!(
            "it redirects (status {}); set IDENTREE_SERVER_URL to the final address",
            response.status
        ))),
        status => Err(match serde_json::from_slice::<Problem>(&response.body) {
            Ok(Problem { kind, title, detail, retry_after, .. }) => {
                TransportError::Problem { status, kind, title, detail, retry_after }
            }
            Err(_) => TransportError::Problem {
                status,
                kind: String::new(),
                title: format!("the server answers with status {status}"),
                detail: None,
                retry_after: None,
            },
        }),
    }
}
