//! Straight to the server under the host's own credential, over one kept connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use identree_core::credential::{Authorization, Request};
use identree_core::wire::v1::{Problem, Reply};
use rustls::ClientConfig;

use super::http1::{self, Response};
use super::stream::{Stream, tls_config};
use super::{Call, Transport, TransportError, Watch, resolve};
use crate::clock::{Moment, calendar_secs, now};
use crate::config::Config;

/// The connection to the server, made when first needed and again when it is lost.
#[derive(Debug)]
pub struct Direct<'a> {
    config: &'a Config,
    watch: Watch,
    tls: Option<Arc<ClientConfig>>,
    stream: Option<Stream>,
}

impl<'a> Direct<'a> {
    /// Does nothing yet.
    pub const fn new(config: &'a Config, watch: Watch) -> Self {
        Self { config, watch, tls: None, stream: None }
    }

    /// Connects, resolution and TLS handshake included, within the configured time or `until` if that comes sooner.
    fn connected(&mut self, until: Moment) -> Result<Stream, TransportError> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        let Config { server, ca_pem, connect_timeout, .. } = self.config;
        let until = until.min(now() + *connect_timeout);
        if server.tls && self.tls.is_none() {
            self.tls = Some(tls_config(ca_pem.as_deref())?);
        }
        let addresses = match server.literal() {
            Some(addresses) => addresses.into_iter().map(|address| SocketAddr::new(address, server.port)).collect(),
            None => resolve::addresses(&self.config.resolver, &server.host, server.port, &self.watch, until)?,
        };
        let tls = self.tls.clone().map(|config| (config, &*server.host));
        let mut stream = Stream::open(&addresses, tls, &self.watch, until)?;
        // The handshake belongs to connecting and its time.
        stream.send(&[], &self.watch, until)?;
        Ok(stream)
    }

    fn exchange(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
        until: Moment,
    ) -> Result<Response, TransportError> {
        let mut stream = self.connected(until)?;
        let Config { server, hostname, secret, .. } = self.config;
        let time_secs = calendar_secs();
        let covered = Request {
            method,
            authority: &server.authority,
            target,
            host: hostname,
            time_secs,
            body: body.unwrap_or_default(),
        };
        let authorization = Authorization { host: hostname.clone(), time_secs, mac: secret.mac(&covered) };
        let bytes = http1::request(method, target, &server.authority, &authorization.to_string(), body);
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

impl Transport for Direct<'_> {
    fn call(&mut self, call: &Call, within: Duration) -> Result<Reply, TransportError> {
        if matches!(call, Call::Cancel(_)) {
            // Whatever made us give up must not keep us from saying so.
            self.watch.stop();
        }
        let body = match call {
            Call::Open(request) => {
                Some(serde_json::to_vec(request).map_err(|e| TransportError::Foreign(e.to_string()))?)
            }
            Call::Wait(..) | Call::Cancel(_) => None,
        };
        let (method, target) = call.line();
        let response = self.exchange(method, &target, body.as_deref(), now() + within)?;
        read(&response)
    }

    fn pause(&mut self, time: Duration) -> Result<(), TransportError> {
        self.watch.wait(None, now() + time).map(drop)
    }
}

/// A reply, or the problem the server states. Redirects are never followed.
fn read(response: &Response) -> Result<Reply, TransportError> {
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
