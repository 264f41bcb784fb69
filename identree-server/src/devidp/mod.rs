//! A tiny OpenID provider for development: whoever sees its page can be anyone.
//!
//! It exists so that one command shows the whole product. It has no passwords and no memory: it serves loopback addresses
//! only, refuses an application that is reached over https, and a build without the feature `dev-idp` does not contain it.
//! The code flow itself is the real one (exact redirect address, client secret, PKCE S256, single-use codes), so that the
//! server needs no second way to sign in.

mod authorize;
mod issued;
mod key;
mod page;
mod people;
#[cfg(test)]
mod tests;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use identree_core::rng::{Entropy, bytes};
use identree_core::secret::Secret;
use identree_core::time::Clock;
use serde_json::json;
use tokio::net::TcpListener;
use url::{Host, Url};

use self::issued::Issued;
use self::key::IdKey;
pub use self::people::Persona;

/// The one application that may send people here.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret<String>,
    /// Where codes may go, compared byte for byte. Plain http on a loopback address only.
    pub redirect_uris: Vec<Url>,
}

/// Why the provider does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevIdpError {
    /// Somebody else could reach it.
    #[error("the development provider lets anyone be anyone: {what} must be http on a loopback address, not {url}")]
    NotLoopback {
        /// Which address.
        what: &'static str,
        /// The address.
        url: String,
    },
    /// The socket failed.
    #[error("the development provider cannot serve")]
    Io(#[from] std::io::Error),
    /// The fresh signing key was not accepted.
    #[error("the development provider could not make its signing key: {0}")]
    Key(String),
}

/// The provider. Cheap to clone; everything is forgotten when the last clone is gone.
#[derive(Debug, Clone)]
pub struct DevProvider(Arc<Provider>);

/// What every route of the provider shares.
#[derive(Debug)]
struct Provider {
    issuer: String,
    authority: String,
    client: Client,
    people: Vec<Persona>,
    key: IdKey,
    issued: Issued,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl DevProvider {
    /// A provider that calls itself `issuer`, knows these people and this one application. Its key is made here.
    ///
    /// # Errors
    /// [`DevIdpError::NotLoopback`] if the issuer or a redirect address is https or not on a loopback address.
    pub fn new(
        issuer: &Url,
        client: Client,
        people: Vec<Persona>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> Result<Self, DevIdpError> {
        require_loopback("its own address", issuer)?;
        for uri in &client.redirect_uris {
            require_loopback("the application's external URL", uri)?;
        }
        let authority = issuer.authority().to_owned();
        Ok(Self(Arc::new(Provider {
            issuer: issuer.as_str().trim_end_matches('/').to_owned(),
            authority,
            client,
            people,
            key: IdKey::from_seed(&Secret::new(bytes(&*entropy)))?,
            issued: Issued::default(),
            clock,
            entropy,
        })))
    }

    /// What it calls itself: the `iss` of its tokens and the address of its discovery document, without a trailing slash.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Every route.
    pub fn router(&self) -> Router {
        let provider = Arc::clone(&self.0);
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize::ask).post(authorize::choose))
            .route("/token", post(token::token))
            .route("/userinfo", get(token::userinfo).post(token::userinfo))
            .route("/style.css", get(page::style))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&provider), guard))
            .with_state(provider)
    }

    /// Serves until `stop` completes.
    ///
    /// # Errors
    /// [`DevIdpError::NotLoopback`] if the listener is not on a loopback address, [`DevIdpError::Io`] if it fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DevIdpError> {
        let address: SocketAddr = listener.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(DevIdpError::NotLoopback { what: "its listener", url: format!("http://{address}") });
        }
        Ok(axum::serve(listener, self.router()).with_graceful_shutdown(stop).await?)
    }
}

fn require_loopback(what: &'static str, url: &Url) -> Result<(), DevIdpError> {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if local && url.scheme() == "http" {
        Ok(())
    } else {
        Err(DevIdpError::NotLoopback { what, url: url.origin().ascii_serialization() })
    }
}

/// Answers to its own name only (a page elsewhere could point its name at this address), and says on every answer what a
/// browser may do with it.
async fn guard(State(provider): State<Arc<Provider>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    if host != Some(provider.authority.as_bytes()) {
        return (StatusCode::MISDIRECTED_REQUEST, "this provider answers to its own address only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::CLOSED_POLICY),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// OpenID Connect Discovery 1.0 §3, and RFC 9207 for the `iss` parameter.
async fn discovery(State(provider): State<Arc<Provider>>) -> Json<serde_json::Value> {
    let at = |path: &str| format!("{}{path}", provider.issuer);
    Json(json!({
        "issuer": provider.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "jwks_uri": at("/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "groups"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "name", "preferred_username", "groups"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<openidconnect::core::CoreJsonWebKeySet> {
    Json(provider.key.public_set())
}
