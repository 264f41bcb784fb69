//! The token endpoint and the user info endpoint.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identree_core::canon::sha256;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Provider;
use super::issued::{Code, TOKEN_LIFE};

/// RFC 6749 §4.1.3 and RFC 7636 §4.5.
#[derive(Debug, Deserialize)]
pub(super) struct Redeemed {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// An error of RFC 6749 §5.2.
struct TokenError(&'static str, &'static str);

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let status = if self.0 == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = Json(json!({ "error": self.0, "error_description": self.1 }));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Basic realm=\"development provider\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// `POST /token`: a code for an ID token, once.
pub(super) async fn token(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    form: Result<Form<Redeemed>, FormRejection>,
) -> Response {
    exchange(&provider, &headers, form).unwrap_or_else(IntoResponse::into_response)
}

fn exchange(
    provider: &Provider,
    headers: &HeaderMap,
    form: Result<Form<Redeemed>, FormRejection>,
) -> Result<Response, TokenError> {
    let Ok(Form(form)) = form else {
        return Err(TokenError("invalid_request", "the form cannot be read"));
    };
    let (id, secret) =
        credentials(headers, &form).ok_or(TokenError("invalid_client", "the client must authenticate"))?;
    if id != provider.client.id || !provider.client.secret.matches(secret.as_bytes()) {
        return Err(TokenError("invalid_client", "client id or secret is wrong"));
    }
    if form.grant_type.as_deref() != Some("authorization_code") {
        return Err(TokenError("unsupported_grant_type", "only authorization_code"));
    }
    let now = provider.clock.now();
    let code = form
        .code
        .and_then(|code| provider.issued.redeem(&code, now))
        .ok_or(TokenError("invalid_grant", "the code is unknown, used or older than a minute"))?;
    if form.redirect_uri.as_deref() != Some(code.redirect_uri.as_str()) {
        return Err(TokenError("invalid_grant", "the redirect_uri is another one than at the start"));
    }
    let challenge = form.code_verifier.map(|verifier| URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())));
    if challenge.as_deref() != Some(code.code_challenge.as_str()) {
        return Err(TokenError("invalid_grant", "the code_verifier does not fit the code_challenge"));
    }
    let id_token = provider
        .key
        .sign(&id_claims(provider, &code))
        .map_err(|_| TokenError("server_error", "the ID token could not be signed"))?;
    Ok(Json(json!({
        "access_token": provider.issued.token(code.person, &*provider.entropy, now),
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE.as_secs(),
        "id_token": id_token,
    }))
    .into_response())
}

/// HTTP Basic with both parts form-encoded (RFC 6749 §2.3.1), or both in the form.
fn credentials(headers: &HeaderMap, form: &Redeemed) -> Option<(String, String)> {
    let Some(basic) = headers.get(header::AUTHORIZATION) else {
        return Some((form.client_id.clone()?, form.client_secret.clone()?));
    };
    let decoded = STANDARD.decode(basic.to_str().ok()?.strip_prefix("Basic ")?).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let plain = |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((plain(id)?, plain(secret)?))
}

fn id_claims(provider: &Provider, code: &Code) -> Value {
    let issued = provider.clock.now();
    let mut claims = person_claims(provider, code.person);
    claims["iss"] = json!(provider.issuer);
    claims["aud"] = json!(provider.client.id);
    claims["iat"] = json!(issued.as_secs());
    claims["exp"] = json!((issued + TOKEN_LIFE).as_secs());
    claims["auth_time"] = json!(code.auth_time.as_secs());
    if let Some(nonce) = &code.nonce {
        claims["nonce"] = json!(nonce);
    }
    claims
}

fn person_claims(provider: &Provider, person: usize) -> Value {
    let person = &provider.people[person];
    json!({
        "sub": person.subject(),
        "preferred_username": person.name,
        "name": person.full_name,
        "groups": person.groups,
    })
}

/// `/userinfo` (OpenID Connect Core 1.0 §5.3), the token as RFC 6750 §2.1 says.
pub(super) async fn userinfo(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match bearer.and_then(|token| provider.issued.person(token, provider.clock.now())) {
        Some(person) => Json(person_claims(&provider, person)).into_response(),
        None => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response()
        }
    }
}
