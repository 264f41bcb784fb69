//! The authorization endpoint: checks what the application asks, shows the people to be, sends the code back.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use url::Url;

use super::issued::Code;
use super::{Provider, page};

/// The request of OpenID Connect Core 1.0 §3.1.2.1 with PKCE (RFC 7636 §4.3); what is not listed has no meaning here.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    prompt: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// Whom the person chose to be.
#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    person: String,
}

/// A request that may be answered.
struct Valid {
    redirect_uri: Url,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: String,
}

/// A request that may not: to the person when the application is not known, else back to the application.
enum Bad {
    Page(&'static str),
    Back { redirect_uri: Box<Url>, state: Option<String>, error: &'static str, description: &'static str },
}

/// `GET /authorize`: shows who one can be. Nothing is decided by looking.
pub(super) async fn ask(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    match check(&provider, asked) {
        Ok(valid) => page::choose(&provider.people, query.as_deref().unwrap_or_default(), &valid.redirect_uri),
        Err(bad) => provider.reject(bad),
    }
}

/// `POST /authorize`: one click, and the browser carries a code back.
pub(super) async fn choose(
    State(provider): State<Arc<Provider>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
    chosen: Result<Form<Chosen>, FormRejection>,
) -> Response {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return page::refused(StatusCode::FORBIDDEN, "The choice must come from this provider's own page.");
    }
    let valid = match check(&provider, asked) {
        Ok(valid) => valid,
        Err(bad) => return provider.reject(bad),
    };
    let person = chosen.ok().and_then(|chosen| provider.people.iter().position(|p| p.name.as_str() == chosen.person));
    let Some(person) = person else {
        return page::refused(StatusCode::BAD_REQUEST, "Nobody of that name lives here.");
    };
    let now = provider.clock.now();
    let code = Code {
        person,
        auth_time: now,
        redirect_uri: valid.redirect_uri.to_string(),
        code_challenge: valid.code_challenge,
        nonce: valid.nonce,
    };
    let code = provider.issued.code(code, &*provider.entropy, now);
    provider.back(valid.redirect_uri, valid.state.as_deref(), &[("code", &code)])
}

fn check(provider: &Provider, asked: Result<Query<Asked>, QueryRejection>) -> Result<Valid, Bad> {
    let Ok(Query(asked)) = asked else {
        return Err(Bad::Page("The request cannot be read; a parameter may stand in it twice."));
    };
    if asked.client_id.as_deref() != Some(provider.client.id.as_str()) {
        return Err(Bad::Page("This application is not known here: the client id is another one."));
    }
    let redirect_uri = asked
        .redirect_uri
        .and_then(|uri| provider.client.redirect_uris.iter().find(|known| known.as_str() == uri).cloned())
        .ok_or(Bad::Page("The application wants the answer at an address that is not registered for it."))?;
    let state = asked.state;
    let back = |error, description| Bad::Back {
        redirect_uri: Box::new(redirect_uri.clone()),
        state: state.clone(),
        error,
        description,
    };
    if asked.response_type.as_deref() != Some("code") {
        return Err(back("unsupported_response_type", "only the code flow is offered"));
    }
    if !asked.scope.as_deref().unwrap_or_default().split(' ').any(|scope| scope == "openid") {
        return Err(back("invalid_scope", "the scope must contain openid"));
    }
    if asked.prompt.as_deref() == Some("none") {
        return Err(back("login_required", "somebody has to click"));
    }
    // RFC 7636 §4.2: the SHA-256, base64url without padding, is 43 characters.
    let code_challenge = asked.code_challenge.filter(|challenge| challenge.len() == 43);
    let (Some(code_challenge), Some("S256")) = (code_challenge, asked.code_challenge_method.as_deref()) else {
        return Err(back("invalid_request", "PKCE with S256 is required"));
    };
    Ok(Valid { redirect_uri, state, nonce: asked.nonce, code_challenge })
}

impl Provider {
    fn reject(&self, bad: Bad) -> Response {
        match bad {
            Bad::Page(text) => page::refused(StatusCode::BAD_REQUEST, text),
            Bad::Back { redirect_uri, state, error, description } => {
                self.back(*redirect_uri, state.as_deref(), &[("error", error), ("error_description", description)])
            }
        }
    }

    /// The answer in the address of a redirect (RFC 6749 §4.1.2), with `iss` (RFC 9207).
    fn back(&self, mut uri: Url, state: Option<&str>, answer: &[(&str, &str)]) -> Response {
        uri.query_pairs_mut()
            .extend_pairs(answer)
            .extend_pairs(state.map(|state| ("state", state)))
            .append_pair("iss", &self.issuer);
        (StatusCode::SEE_OTHER, [(header::LOCATION, uri.to_string())]).into_response()
    }
}
