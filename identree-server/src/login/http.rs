//! The HTTP client that is handed to openidconnect: no redirects, bounded in time and size, one TLS provider.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use url::Url;

/// A provider that answers more slowly is treated as not answering.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Larger than any discovery document or key set.
const MAX_BYTES: usize = 1024 * 1024;

/// Talks to one provider. Requests for its public address go to its internal one where the two differ.
#[derive(Debug, Clone)]
pub(super) struct ProviderHttp {
    client: reqwest::Client,
    /// (public, internal) issuer URLs.
    split: Option<(Url, Url)>,
}

/// The provider did not answer as HTTP asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the identity provider did not answer")]
    Transport(#[from] reqwest::Error),
    #[error("the identity provider answered more than 1 MiB")]
    TooLarge,
    #[error("the request could not be made")]
    Request(#[from] http::Error),
}

impl ProviderHttp {
    pub(super) fn new(split: Option<(Url, Url)>, skip_verify: bool) -> Result<Self, reqwest::Error> {
        // One TLS provider in the tree. The client takes it from the process; an embedder's own choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .danger_accept_invalid_certs(skip_verify)
            .no_proxy()
            .build()?;
        Ok(Self { client, split })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut request: reqwest::Request = request.try_into()?;
        if let Some((public, internal)) = &self.split
            && request.url().origin() == public.origin()
        {
            let url = request.url_mut();
            // The same path on the internal address; scheme, host and port are those of a URL that parsed.
            let _ = url.set_scheme(internal.scheme());
            let _ = url.set_host(internal.host_str());
            let _ = url.set_port(internal.port());
        }
        let mut response = self.client.execute(request).await?;
        let mut builder = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            builder = builder.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(builder.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderHttp {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + Sync + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        // The future of reqwest is not Sync, which this trait asks for; a task's handle is.
        let client = self.clone();
        let task = tokio::spawn(async move { client.send(request).await });
        Box::pin(async move {
            match task.await {
                Ok(result) => result,
                Err(_) => Err(HttpError::TooLarge),
            }
        })
    }
}
