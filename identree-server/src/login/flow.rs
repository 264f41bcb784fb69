//! The sign-in under way: off to the provider, back with a code, a session; and out again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use identree_core::actor::{Actor, Strength, Whence};
use identree_core::audit::EventKind;
use identree_core::canon::sha256;
use identree_core::id::UserName;
use identree_core::store::{Batch, Change, Collection, DocumentKey, Put, StoreError};
use identree_core::text::{hex, unhex};
use identree_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::people::{LinkError, People};
use super::provider::{Identity, Provider, ProviderError};
use crate::layer::browser::Browsers;
use crate::layer::cookie::{Cookie, Cookies};
use crate::layer::sign_in::SignedIn;
use crate::parts::Parts;
use crate::refusals::Refusal;
use crate::session::{ABSOLUTE, BY, End, Sessions};
use crate::web::{Detail, Problem};

pub(crate) const SIGN_INS: Collection = Collection("sign-ins");

/// A sign-in must come back within this time.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// What signing in needs.
#[derive(Debug, Clone)]
pub struct Login {
    /// Store, time, randomness.
    pub parts: Parts,
    /// The browser sessions.
    pub sessions: Sessions,
    /// The cookies.
    pub cookies: Cookies,
    /// The cookies of sign-ins under way.
    pub browsers: Browsers,
    /// The identity provider.
    pub provider: Arc<Provider>,
    /// The people.
    pub people: Arc<People>,
}

#[derive(Serialize, Deserialize)]
struct UnderWay {
    nonce: String,
    verifier: String,
    return_to: String,
    /// Hash of the cookie of the browser that began.
    browser: String,
}

/// Why nobody was signed in. The text is for the person at the browser.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInFailure {
    /// The provider does not answer.
    #[error("The identity provider does not answer. Try again in a moment.")]
    ProviderDown,
    /// Unknown, used or old state, or of another browser.
    #[error("This sign-in was not begun in this browser, or too long ago. Begin again.")]
    NotBegunHere,
    /// The provider says no.
    #[error("The identity provider refused the sign-in ({0}).")]
    Refused(String),
    /// The provider's answer does not prove anything: which part, as one word, and how.
    #[error("The identity provider's answer was not accepted. Begin again, or tell your administrator.")]
    NotAccepted(&'static str, String),
    /// The person is nobody here.
    #[error("You are signed in at the identity provider, but not known here: {0}.")]
    NotLinked(LinkError, Box<Identity>),
    /// The store does not answer.
    #[error("The server cannot reach its store. Try again shortly.")]
    Unavailable,
}

impl SignInFailure {
    const fn status(&self) -> StatusCode {
        match self {
            Self::ProviderDown | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotBegunHere => StatusCode::BAD_REQUEST,
            Self::Refused(_) | Self::NotAccepted(..) | Self::NotLinked(..) => StatusCode::FORBIDDEN,
        }
    }
}

impl SignInFailure {
    /// What is recorded; of a store that does not answer nothing can be.
    fn refusal(&self) -> Option<Refusal> {
        let failed = |why| Refusal::new(EventKind::SignInFailed, why);
        Some(match self {
            Self::ProviderDown => failed("provider_down"),
            Self::NotBegunHere => failed("not_begun_here"),
            Self::Refused(error) => failed("provider_refused").with("text", error.clone()),
            Self::NotAccepted(why, text) => failed(why).with("text", text.chars().take(500).collect::<String>()),
            Self::NotLinked(error, identity) => {
                let refusal = failed("not_linked").with("text", error.to_string());
                refusal.with("issuer", identity.issuer.clone()).with("sub", identity.subject.clone())
            }
            Self::Unavailable => return None,
        })
    }
}

impl IntoResponse for SignInFailure {
    fn into_response(self) -> Response {
        let (status, refusal) = (self.status(), self.refusal());
        let detail = match self {
            Self::ProviderDown => Detail(|text| text.provider_down, vec![]),
            Self::NotBegunHere => Detail(|text| text.not_begun_here, vec![]),
            Self::Refused(why) => Detail(|text| text.provider_refused, vec![("why", why)]),
            Self::NotAccepted(..) => Detail(|text| text.not_accepted, vec![]),
            Self::NotLinked(LinkError::NoName, _) => Detail(|text| text.no_name, vec![]),
            Self::NotLinked(LinkError::Name(why), _) => Detail(|text| text.bad_name, vec![("why", why.to_string())]),
            Self::NotLinked(LinkError::Taken(name), _) => {
                Detail(|text| text.name_taken, vec![("name", name.to_string())])
            }
            Self::NotLinked(LinkError::Store(_), _) | Self::Unavailable => Detail(|text| text.store_down, vec![]),
        };
        let mut response = Problem::sign_in_failed(status, detail).into_response();
        if let Some(refusal) = refusal {
            refusal.leave(&mut response);
        }
        response
    }
}

impl From<StoreError> for SignInFailure {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a sign-in could not be read or written");
        Self::Unavailable
    }
}

/// The routes of signing in and out.
pub fn routes(login: Login) -> Router {
    Router::new()
        .route("/sessions/login", get(begin))
        .route("/callback", get(back))
        .route("/signout", post(sign_out))
        .with_state(Arc::new(login))
}

#[derive(Deserialize)]
struct Begin {
    #[serde(default)]
    return_to: String,
    /// Present when the rule at hand wants a new proof.
    fresh: Option<String>,
}

async fn begin(
    State(login): State<Arc<Login>>,
    Query(query): Query<Begin>,
    headers: HeaderMap,
) -> Result<Response, SignInFailure> {
    let authorization = login.provider.authorize(query.fresh.is_some()).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "a sign-in could not begin");
        SignInFailure::ProviderDown
    })?;
    // One cookie for all sign-ins under way in one browser, so that two tabs do not disturb each other.
    let mut raw = [0; 32];
    let held = login.cookies.read(&headers, Cookie::SignIn).filter(|value| unhex(value, &mut raw));
    let cookie = held.map_or_else(|| login.browsers.cookie(&*login.parts.entropy), str::to_owned);
    let under_way = UnderWay {
        nonce: authorization.nonce,
        verifier: authorization.verifier,
        return_to: own_path(&query.return_to).to_owned(),
        browser: hashed(&cookie),
    };
    let bytes = serde_json::to_vec(&under_way).map_err(corrupt)?;
    let put = Put { bytes, expires_at: Some(login.parts.now() + LIFE) };
    let change = Change::Document { key: key(&authorization.state), expect: None, put: Some(put) };
    login.parts.store.commit(Batch::unrecorded(vec![change])).await?;
    let set = login.cookies.set(Cookie::SignIn, &cookie, LIFE);
    Ok(([(header::SET_COOKIE, set)], Redirect::to(authorization.url.as_str())).into_response())
}

#[derive(Deserialize)]
struct Back {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

async fn back(
    State(login): State<Arc<Login>>,
    Query(query): Query<Back>,
    before: Option<SignedIn>,
    whence: Option<Extension<Whence>>,
    headers: HeaderMap,
) -> Result<Response, SignInFailure> {
    let state = query.state.ok_or(SignInFailure::NotBegunHere)?;
    let browser = login.cookies.read(&headers, Cookie::SignIn).ok_or(SignInFailure::NotBegunHere)?;
    let under_way = login.take(&state, browser).await?;
    // RFC 9207: an answer that names its issuer must name ours, and a provider that says it names itself must do so.
    let names_another = |issuer: &str| issuer != login.provider.issuer();
    if query.iss.as_deref().map_or_else(|| login.provider.names_itself(), names_another) {
        return Err(not_accepted("issuer", "the answer names another issuer".to_owned()));
    }
    if let Some(error) = query.error {
        let error: String = identree_core::text::visible(&error).chars().take(100).collect();
        return Err(SignInFailure::Refused(error));
    }
    let code = query.code.ok_or(SignInFailure::NotBegunHere)?;
    let identity = match login.provider.redeem(code, under_way.verifier, under_way.nonce).await {
        Ok(identity) => identity,
        Err(ProviderError::Unavailable(_)) => return Err(SignInFailure::ProviderDown),
        Err(error @ ProviderError::Refused(_)) => return Err(not_accepted("code", error.to_string())),
        Err(error) => return Err(not_accepted("token", error.to_string())),
    };
    let whence = Whence { via: Some(BY), ..whence.map(|Extension(whence)| whence).unwrap_or_default() };
    let (token, _) = login.admit(&identity, whence).await?;
    // The browser forgets its earlier session here, so nobody else may go on with it.
    if let Some(SignedIn { session, .. }) = before {
        login.sessions.end(&session, End::Replaced).await?;
    }
    let session = login.cookies.set(Cookie::Session, token.reveal(), ABSOLUTE);
    let mut response = Redirect::to(own_path(&under_way.return_to)).into_response();
    response.headers_mut().append(header::SET_COOKIE, session);
    response.headers_mut().append(header::SET_COOKIE, login.cookies.clear(Cookie::SignIn));
    Ok(response)
}

async fn sign_out(State(login): State<Arc<Login>>, signed_in: Option<SignedIn>) -> Result<Response, SignInFailure> {
    if let Some(SignedIn { session, .. }) = signed_in {
        login.sessions.end(&session, End::SignedOut).await?;
    }
    Ok(([(header::SET_COOKIE, login.cookies.clear(Cookie::Session))], Redirect::to("/")).into_response())
}

impl Login {
    /// The sign-in that this browser began; it can be taken once.
    async fn take(&self, state: &str, browser: &str) -> Result<UnderWay, SignInFailure> {
        let key = key(state);
        let now = self.parts.now();
        let document = self.parts.store.document(&key, now).await?.ok_or(SignInFailure::NotBegunHere)?;
        if document.expires_at.is_some_and(|at| at.is_from_the_future(now + LIFE)) {
            return Err(SignInFailure::NotBegunHere); // begun by a clock that has gone back since
        }
        let under_way: UnderWay = serde_json::from_slice(&document.bytes).map_err(corrupt)?;
        if under_way.browser != hashed(browser) {
            return Err(SignInFailure::NotBegunHere);
        }
        let change = Change::Document { key, expect: Some(document.revision), put: None };
        match self.parts.store.commit(Batch::unrecorded(vec![change])).await {
            Ok(()) => Ok(under_way),
            Err(StoreError::Conflict) => Err(SignInFailure::NotBegunHere),
            Err(error) => Err(error.into()),
        }
    }

    /// Links the person and begins their session, in one commit with its event.
    async fn admit(
        &self,
        identity: &Identity,
        whence: Whence,
    ) -> Result<(crate::session::SessionToken, UserName), SignInFailure> {
        let linked = match self.people.link(identity, &whence).await {
            Ok(linked) => linked,
            Err(LinkError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(SignInFailure::NotLinked(error, Box::new(identity.clone()))),
        };
        let (name, batch, person) = linked.into_parts();
        let now = self.parts.now();
        // Without an auth_time nothing is known of how fresh the proof is: then it is not fresh.
        // How long ago it was, the wall clock tells, as it told the provider.
        let proven_at =
            identity.auth_time.map_or_else(Timestamp::default, |at| now - self.parts.clock.wall().since(at));
        let (token, change) = self.sessions.begin(name.clone(), proven_at)?;
        let actor = Actor::vouched(BY, name.clone(), proven_at, Strength::SignedIn).calling_from(whence);
        let mut event = self.parts.event(EventKind::SignedIn).by(&actor);
        event.subject = Some(name.clone());
        let event = event.with("auth_time", proven_at.to_string());
        match self.parts.store.commit(batch.and(change, Some(event))).await {
            Ok(()) => {}
            // Two sign-ins of one new person at the same moment: the second begins again.
            Err(StoreError::Conflict) => return Err(SignInFailure::NotBegunHere),
            Err(error) => return Err(error.into()),
        }
        self.people.committed(person);
        Ok((token, name))
    }
}

fn not_accepted(why: &'static str, text: String) -> SignInFailure {
    tracing::warn!(why = text, "a sign-in was not accepted");
    SignInFailure::NotAccepted(why, text)
}

/// The path to return to, if it is one of ours; else the front page. What a browser could read as another site (`//x`,
/// `/\x`, control characters) is not.
fn own_path(path: &str) -> &str {
    // Whatever a path of ours may hold otherwise comes percent-encoded; other bytes cannot stand in a header.
    let odd = |c: char| c == '\\' || !c.is_ascii_graphic();
    if path.starts_with('/') && !path.starts_with("//") && path.len() <= 512 && !path.contains(odd) {
        path
    } else {
        "/"
    }
}

fn key(state: &str) -> DocumentKey {
    DocumentKey::new(SIGN_INS, hashed(state))
}

fn hashed(text: &str) -> String {
    hex(&sha256(text.as_bytes()))
}

fn corrupt(source: serde_json::Error) -> StoreError {
    StoreError::Corrupt { table: "sign-ins", source: Box::new(source) }
}

/// What the fuzz targets see.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use super::{Back, Query};

    /// The path to return to after signing in.
    pub fn own_path(path: &str) -> &str {
        super::own_path(path)
    }

    /// `state`, `code`, `error` and `iss` of a callback's query.
    pub fn callback(query: &str) -> Option<[Option<String>; 4]> {
        let uri = http::Uri::builder().path_and_query(format!("/callback?{query}")).build().ok()?;
        let Query(Back { state, code, error, iss }) = Query::try_from_uri(&uri).ok()?;
        Some([state, code, error, iss])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_returned_to() {
        for (path, to) in [
            ("/approve/ABCDEF-123456", "/approve/ABCDEF-123456"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/approve/\u{fc}", "/"),
        ] {
            assert_eq!(own_path(path), to);
        }
    }
}
