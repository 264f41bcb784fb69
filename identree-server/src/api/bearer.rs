//! Routes for programs that show a token: scrapers, auditors.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identree_core::audit::EventKind;
use identree_core::canon::sha256;
use identree_core::secret::Secret;

use super::Problem;
use crate::layer::client_ip::ClientAddress;
use crate::layer::rate_limit::RateLimits;
use crate::refusals::Refusal;

/// A token, as its hash: compared in a time that tells neither its length nor where another differs.
#[derive(Debug, Clone)]
pub struct BearerToken(Secret<[u8; 32]>);

impl BearerToken {
    /// Takes the token in.
    pub fn new(token: &Secret<String>) -> Self {
        Self(Secret::new(sha256(token.expose().as_bytes())))
    }

    /// Whether exactly one `Authorization: Bearer` (RFC 6750 §2.1) holds it. A token in the address counts for nothing:
    /// addresses end up in logs.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && self.0.matches(&sha256(token.trim_start().as_bytes()))
    }

    /// The refusal of whoever does not show it, counted and recorded under this name; `None` for whoever does.
    pub(super) fn refuses(
        &self,
        headers: &HeaderMap,
        (limits, client): (&RateLimits, Option<ClientAddress>),
        why: &'static str,
    ) -> Option<Response> {
        if self.is_shown(headers) {
            return None;
        }
        if let Err(why) = limits.count_failure(client) {
            return Some(Problem::too_fast(why).into_response());
        }
        let how = [(header::WWW_AUTHENTICATE, "Bearer")];
        let mut response = (StatusCode::UNAUTHORIZED, how, "the bearer token was not accepted\n").into_response();
        metrics::counter!("identree_auth_failures_total", "reason" => why).increment(1);
        Refusal::new(EventKind::AuthenticationFailed, why).leave(&mut response);
        Some(response)
    }
}
