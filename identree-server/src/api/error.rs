//! The one mapping from what went wrong to status and public text: problem details (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identree_core::credential;
use identree_core::wire::v1;

use crate::layer::rate_limit::Rejection;
use crate::refusals::Refusal;

/// A problem as the host API tells it. The text never says which part of a secret was close, nor the cause inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: Option<String>,
    retry_after: Option<u32>,
    /// What is recorded of it.
    refusal: Option<Box<Refusal>>,
}

macro_rules! problems {
    ($($(#[doc = $doc:literal])* $fn:ident = $status:ident, $name:expr, $title:literal;)*) => {
        impl Problem {
            $($(#[doc = $doc])* pub const fn $fn() -> Self {
                Self {
                    status: StatusCode::$status, name: $name, title: $title, detail: None, retry_after: None, refusal: None,
                }
            })*
        }
    };
}

problems! {
    /// The credential is missing, malformed, of an unknown host, or wrong: one text for all.
    unauthorized = UNAUTHORIZED, "unauthorized", "the host's credential was not accepted";
    /// The credential is right, but the host's clock is off.
    stale_request = UNAUTHORIZED, "stale-request", "the request's time is outside the window";
    /// Whoever asks to enrol knows no token of this host: one text for all that may be wrong.
    enrolment_refused = FORBIDDEN, "enrolment-refused", "this host may not enrol with this token";
    /// The sender knows the token and does not hold the key.
    no_possession = FORBIDDEN, "no-possession", "the sender does not hold the key that it names";
    /// The sender knows the token, which is worth nothing any more.
    token_used = FORBIDDEN, "token-used", "the token was used or withdrawn";
    /// The sender knows the token, and comes too late.
    token_expired = FORBIDDEN, "token-expired", "the token has expired";
    /// The host has no key that could be replaced.
    no_key = CONFLICT, "no-key", "this host has no key of its own";
    /// This person may not ask on this host.
    user_not_allowed = FORBIDDEN, "user-not-allowed", "this user may not ask on this host";
    /// No such question of this host.
    not_found = NOT_FOUND, "not-found", "this host has no such question";
    /// The method does not exist here.
    method_not_allowed = METHOD_NOT_ALLOWED, "method-not-allowed", "this method is not for this path";
    /// The nonce stands for another question.
    nonce_reused = CONFLICT, "nonce-reused", "this nonce was used for another question";
    /// The body trickles in.
    too_slow = REQUEST_TIMEOUT, "too-slow", "the request's body did not arrive in time";
    /// More than the limit.
    body_too_large = PAYLOAD_TOO_LARGE, "body-too-large", "the request's body is too large";
    /// Not declared as JSON.
    not_json_type = UNSUPPORTED_MEDIA_TYPE, "not-json-type", "the body must be application/json";
    /// Not JSON.
    not_json = BAD_REQUEST, "not-json", "the body is not JSON";
    /// JSON, but not a question.
    invalid_request = BAD_REQUEST, "invalid-request", "the request is not valid";
    /// A field that this version does not have.
    unknown_field = BAD_REQUEST, "unknown-field", "the request has a field that this server does not know";
    /// A field is missing.
    missing_field = BAD_REQUEST, "missing-field", "the request lacks a field";
    /// A name or text is longer than it may be.
    too_long = BAD_REQUEST, "too-long", "a value is too long";
    /// A character that the value may not have.
    forbidden_character = BAD_REQUEST, "forbidden-character", "a value has a character that it may not have";
    /// A version this server does not speak.
    unsupported_version = BAD_REQUEST, "unsupported-version", "this version of the host API is not spoken here";
    /// The cap per user.
    too_many_for_user = TOO_MANY_REQUESTS, v1::Problem::TOO_MANY_FOR_USER, "too many questions of this user wait already";
    /// The cap per host.
    too_many_for_host = TOO_MANY_REQUESTS, v1::Problem::TOO_MANY_FOR_HOST, "too many questions of this host wait already";
    /// The cap on all questions.
    too_many = SERVICE_UNAVAILABLE, v1::Problem::TOO_MANY, "too many questions wait already";
    /// After denials.
    cool_down = TOO_MANY_REQUESTS, v1::Problem::COOL_DOWN, "this user was denied too often on this host";
    /// More requests of one host than may rest at a time.
    too_many_waits = TOO_MANY_REQUESTS, "too-many-waits", "too many requests of this host wait already";
    /// Above a rate.
    rate_limited = TOO_MANY_REQUESTS, v1::Problem::RATE_LIMITED, "too many requests";
    /// A bug.
    internal = INTERNAL_SERVER_ERROR, "internal", "the server failed on this request";
    /// This server's clock is off the database's; another server over it may answer.
    clock_off = SERVICE_UNAVAILABLE, "clock-off", "the server's clock is off, so that it decides nothing";
    /// The store or the signing key does not answer.
    unavailable = SERVICE_UNAVAILABLE, "unavailable", "the server cannot decide right now";
}

impl Problem {
    /// Above a rate, with when there is room again.
    pub fn too_fast(why: Rejection) -> Self {
        let problem = Self::rate_limited().with_detail(why.to_string()).retry_after(why.wait);
        problem.recorded(Refusal::limited(why.limit))
    }

    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it is the host's clock, with a credential that holds.
    pub fn is_stale(&self) -> bool {
        self.name == Self::stale_request().name
    }

    /// The same problem with what to do about it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same problem, and what is recorded of it.
    #[must_use]
    pub fn recorded(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(Box::new(refusal));
        self
    }

    /// The same problem with when to try again, in the body and in the header `Retry-After`: whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let secs = wait.as_millis().div_ceil(1000).max(1);
        self.retry_after = Some(u32::try_from(secs).unwrap_or(u32::MAX));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = v1::Problem {
            kind: format!("{}{}", v1::Problem::PREFIX, self.name),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            retry_after: self.retry_after,
        };
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, kind)], bytes).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            for scheme in [credential::KEY_SCHEME, credential::SCHEME] {
                response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
            }
        }
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if let Some(refusal) = self.refusal {
            refusal.leave(&mut response);
        }
        response
    }
}
