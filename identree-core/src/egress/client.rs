//! The client: pooled, bounded in time and size, without redirects and proxies, connected only to addresses that were looked at.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::guard::forbidden;
use super::transport::{HttpTransport, TransportError};

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Until there is a connection: name, TCP and TLS.
    pub connect: Duration,
    /// Until the last byte of the answer.
    pub whole: Duration,
    /// The longest answer, in bytes.
    pub answer: usize,
}

impl Default for HttpLimits {
    /// 5 s to connect, 15 s in all, answers up to 256 KiB.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(15), answer: 256 * 1024 }
    }
}

/// Sends requests to what an operator configured. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    limits: HttpLimits,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpClientError {
    /// The file of authorities holds no certificate.
    #[error("no certificate of an authority in PEM form was found")]
    Authorities(#[source] Option<reqwest::Error>),
    /// TLS cannot be set up, as where the system has no authorities.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
}

impl HttpClient {
    /// A client with these limits. `authorities`: certificates in PEM form that alone are trusted then; without them the system's are.
    ///
    /// # Errors
    /// [`HttpClientError`] if the certificates are none or TLS cannot be set up.
    pub fn new(limits: HttpLimits, authorities: Option<&[u8]>) -> Result<Self, HttpClientError> {
        // One TLS provider in the tree. The client takes it from the process; an embedder's own choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("identree/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Checked)
            .connect_timeout(limits.connect)
            .timeout(limits.whole)
            .pool_max_idle_per_host(2);
        if let Some(pem) = authorities {
            let found =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|e| HttpClientError::Authorities(Some(e)))?;
            if found.is_empty() {
                return Err(HttpClientError::Authorities(None));
            }
            builder = builder.tls_certs_only(found);
        }
        Ok(Self { client: builder.build().map_err(HttpClientError::Setup)?, limits })
    }
}

#[async_trait]
impl HttpTransport for HttpClient {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let request: reqwest::Request =
            request.try_into().map_err(|_| TransportError::Request("the address is no URL"))?;
        let host = checked(request.url())?;
        let failed = |error: reqwest::Error| failure(&host, error);
        let mut response = self.client.execute(request).await.map_err(failed)?;
        let mut answer = http::Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.limits.answer {
                return Err(TransportError::TooLarge { host, most: self.limits.answer });
            }
            body.extend_from_slice(&chunk);
        }
        *answer.body_mut() = body.freeze();
        Ok(answer)
    }
}

/// The host of a URL that a request may go to. An address that stands in the URL itself is never resolved: it is looked at here.
fn checked(url: &reqwest::Url) -> Result<String, TransportError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TransportError::Request("only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TransportError::Request("a user and a password belong in a header"));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
        && let Some(why) = forbidden(address)
    {
        return Err(TransportError::Forbidden { host, address, why });
    }
    Ok(host)
}

/// What a failure of the client means.
pub(super) fn failure(host: &str, error: reqwest::Error) -> TransportError {
    let host = host.to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(each) = cause {
        if let Some(Refused { address, why }) = each.downcast_ref() {
            return TransportError::Forbidden { host, address: *address, why };
        }
        cause = each.source();
    }
    let (connect, timeout) = (error.is_connect(), error.is_timeout());
    // The URL may hold what nobody should read.
    let source = Box::new(error.without_url());
    match (connect, timeout) {
        (_, true) => TransportError::TimedOut { host },
        (true, false) => TransportError::Connect { host, source },
        (false, false) => TransportError::Broken { host, source },
    }
}

/// A name that leads to forbidden addresses alone.
#[derive(Debug, thiserror::Error)]
#[error("{address} is {why}")]
pub(super) struct Refused {
    address: IpAddr,
    why: &'static str,
}

/// The system's resolver; what it finds is looked at, and only what passes is connected to.
#[derive(Debug)]
struct Checked;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(passed(found)?)
        })
    }
}

pub(super) fn passed(found: impl Iterator<Item = SocketAddr>) -> Result<Addrs, Refused> {
    let (mut passed, mut refused) = (Vec::new(), None);
    for address in found {
        match forbidden(address.ip()) {
            None => passed.push(address),
            Some(why) => refused = Some(Refused { address: address.ip(), why }),
        }
    }
    match refused {
        Some(refused) if passed.is_empty() => Err(refused),
        _ => Ok(Box::new(passed.into_iter())),
    }
}
