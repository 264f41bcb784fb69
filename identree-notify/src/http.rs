//! What the sinks over HTTP share: an address with its credential, a body of whole events, and what an answer means.

use std::error::Error;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use identree_core::audit::SinkError;
use identree_core::egress::{HttpTransport, TransportError};
use identree_core::retry::Retry;
use identree_core::secret::Secret;
use identree_core::text::visible_bytes;
use url::Url;

/// The settings of a sink over HTTP cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not the address of something that takes requests.
    #[error("the address is not an http:// or https:// URL with a host")]
    Url,
    /// The credential would have to stand in a URL, which ends up in logs.
    #[error("the address holds a user or a password: give a token instead")]
    UserInUrl,
    /// It cannot stand in a header.
    #[error("the {0} has a character that no header may have")]
    Header(&'static str),
}

/// Where requests go, and what they carry.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Never told, also where the far side repeats it.
    token: Option<Secret<String>>,
}

impl Endpoint {
    pub(crate) fn new(url: &Url) -> Result<Self, EndpointError> {
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(EndpointError::Url);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::UserInUrl);
        }
        Ok(Self {
            url: url.clone(),
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            token: None,
        })
    }

    /// With `Authorization: SCHEME token`.
    pub(crate) fn token(mut self, scheme: &str, token: Secret<String>) -> Result<Self, EndpointError> {
        let value = HeaderValue::from_str(&format!("{scheme} {}", token.expose()));
        let mut value = value.map_err(|_| EndpointError::Header("token"))?;
        value.set_sensitive(true);
        self.headers.push((AUTHORIZATION, value));
        self.token = Some(token);
        Ok(self)
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, EndpointError> {
        let value = HeaderValue::from_str(value).map_err(|_| EndpointError::Header(name))?;
        self.headers.push((HeaderName::from_static(name), value));
        Ok(self)
    }

    /// Posts a body to a URL of this place, compressed.
    pub(crate) async fn post(
        &self,
        transport: &dyn HttpTransport,
        url: &Url,
        body: &[u8],
    ) -> Result<Response<Bytes>, SinkError> {
        let mut request = Request::post(url.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // Writing to memory never fails.
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        let body = encoder
            .write_all(body)
            .and_then(|()| encoder.finish())
            .map_err(|error| SinkError::never(error.to_string()))?;
        let request = request.header(CONTENT_ENCODING, "gzip").body(Bytes::from(body));
        let request = request.map_err(|error| SinkError::never(error.to_string()))?;
        transport.send(request).await.map_err(|error| failed(&error))
    }

    /// What an answer that is no success means.
    pub(crate) fn refused(&self, answer: &Response<Bytes>) -> SinkError {
        let (status, host) = (answer.status(), self.url.host_str().unwrap_or_default());
        if status.is_redirection() {
            return SinkError::never(format!(
                "{host} answered {}: it wants requests elsewhere; set the address it leads to",
                status.as_u16()
            ));
        }
        let text = format!("{host} answered {}: {}", status.as_u16(), self.told(answer));
        SinkError { text, retry: retry(status) }
    }

    /// The beginning of an answer, for whoever reads the log: one line, without the credential.
    pub(crate) fn told(&self, answer: &Response<Bytes>) -> String {
        // The whole of it first, which is bounded: cut before, it could end within the credential, and tell most of that.
        let mut text = visible_bytes(answer.body());
        if let Some(token) = &self.token {
            text = text.replace(token.expose().as_str(), "…");
        }
        text.chars().take(300).collect()
    }
}

/// Whether the same request may be answered otherwise later.
fn retry(status: StatusCode) -> Retry {
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Retry::Later,
        status if status.is_server_error() => Retry::Later,
        _ => Retry::Never,
    }
}

/// No answer came.
fn failed(error: &TransportError) -> SinkError {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(each) = cause {
        text = format!("{text}: {each}");
        cause = each.source();
    }
    SinkError { text, retry: error.retry() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_credential_is_told_however_often_the_far_side_repeats_it() {
        let token = "0123456789abcdefghijklmnopqrstuvwxyz";
        let place = Endpoint::new(&"http://loki.example".parse().unwrap()).unwrap();
        let place = place.token("Bearer", Secret::new(token.to_owned())).unwrap();
        for before in 0..token.len() {
            let body = format!("{}{}", "-".repeat(before), token.repeat(200));
            let answer = Response::builder().status(401).body(Bytes::from(body)).unwrap();
            let told = place.refused(&answer).text;
            assert!(told.contains('…') && !told.contains("0123"), "{told}");
        }
    }
}
