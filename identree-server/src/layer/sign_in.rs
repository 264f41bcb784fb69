//! Who sits at the browser: looks the session cookie up and leaves the answer with the request.
//!
//! Handlers take [`SignedIn`] (signed-out visitors are sent to sign in), or `Option<SignedIn>` where both may come.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use identree_core::actor::{Actor, Whence};

use super::browser::Browsers;
use super::cookie::{Cookie, Cookies};
use crate::listen::Standing;
use crate::session::{CsrfToken, Session, Sessions};
use crate::web::Problem;

/// The person at the browser, from their session. An extractor.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The person; what the engine wants to see.
    pub actor: Actor,
    /// What every form of theirs must carry in the field `csrf_token`. The csrf layer has checked it before a handler runs.
    pub csrf: CsrfToken,
    /// The session itself, to end it.
    pub session: Session,
}

/// What the layer needs.
#[derive(Debug, Clone)]
pub struct SignInLayer {
    /// The sessions.
    pub sessions: Sessions,
    /// The cookie's name and attributes.
    pub cookies: Cookies,
    /// Which browsers have begun to sign in.
    pub browsers: Browsers,
}

/// The layer: for `axum::middleware::from_fn_with_state`.
pub async fn sign_in(State(layer): State<Arc<SignInLayer>>, mut request: Request, next: Next) -> Response {
    if let Some(cookie) = layer.cookies.read(request.headers(), Cookie::Session) {
        // What a page's script fetches by itself is no sign of a person; browsers say so and scripts cannot lie about it.
        let by_itself = request.headers().get("sec-fetch-mode").is_some_and(|mode| mode != "navigate");
        let found = if by_itself { layer.sessions.peek(cookie).await } else { layer.sessions.find(cookie).await };
        match found {
            Ok(Some(session)) => {
                let whence = request.extensions().get::<Whence>().cloned().unwrap_or_default();
                let session = session.used_from(whence);
                let (actor, csrf) = (session.actor.clone(), session.csrf.clone());
                if let Some(standing) = request.extensions().get::<Standing>() {
                    standing.prove();
                }
                tracing::Span::current().record("person", actor.name().as_str());
                request.extensions_mut().insert(SignedIn { actor, csrf, session });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = %error, cause = ?std::error::Error::source(&error), "cannot read the session");
                return Problem::unavailable().into_response();
            }
        }
    }
    let begun = layer.cookies.read(request.headers(), Cookie::SignIn).and_then(|cookie| layer.browsers.prove(cookie));
    if let Some(browser) = begun {
        request.extensions_mut().insert(browser);
    }
    next.run(request).await
}

/// The answer to a visitor who is not signed in: on to sign in, and back to this page afterwards.
#[derive(Debug)]
pub struct NotSignedIn(String);

impl NotSignedIn {
    /// Back to this path of ours afterwards.
    pub fn back_to(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl IntoResponse for NotSignedIn {
    fn into_response(self) -> Response {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &self.0).finish();
        Redirect::to(&format!("/sessions/login?{query}")).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = NotSignedIn;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotSignedIn> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            // What was posted is lost on the way; only a page can be returned to.
            let back = if parts.method == Method::GET { parts.uri.path() } else { "/" };
            NotSignedIn(back.to_owned())
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for SignedIn {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
