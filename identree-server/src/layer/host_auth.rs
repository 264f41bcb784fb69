//! Which host speaks: proves the credential of each request before a handler sees it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use identree_core::audit::EventKind;
use identree_core::credential::{self, Authorization};
use identree_core::id::HostName;
use identree_core::time::Clock;
use identree_core::wire::v1;

use super::body;
use super::client_ip::ClientAddress;
use super::rate_limit::RateLimits;
use crate::api::Problem;
use crate::hosts::{Host, Hosts};
use crate::listen::Standing;
use crate::refusals::Refusal;

/// The host that proved itself. Handlers take it from the request's extensions.
#[derive(Debug, Clone)]
pub struct AuthenticatedHost {
    /// The name it proved.
    pub name: HostName,
    /// What is registered of it.
    pub host: Host,
}

/// What the layer needs.
#[derive(Debug, Clone)]
pub struct HostAuth {
    /// The registry.
    pub hosts: Hosts,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The authorities that hosts may have been configured with: each URL this server answers for. The request's own
    /// `Host` header decides nothing.
    pub authorities: Arc<[String]>,
    /// Counts the proofs that fail.
    pub limits: RateLimits,
}

/// The layer: for `axum::middleware::from_fn_with_state`. The body is read here, since the credential covers it.
pub async fn host_auth(State(auth): State<Arc<HostAuth>>, request: Request, next: Next) -> Response {
    // The proof comes first: whoever fails, however often, holds up nobody who shares the address and succeeds.
    let client = request.extensions().get::<ClientAddress>().copied();
    let mut response = match auth.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => {
            if problem.status() == StatusCode::UNAUTHORIZED {
                let reason = if problem.is_stale() { "clock" } else { "credential" };
                metrics::counter!("identree_auth_failures_total", "reason" => reason).increment(1);
            }
            match auth.limits.count_failure(client) {
                Ok(()) => problem.into_response(),
                Err(why) => Problem::too_fast(why).into_response(),
            }
        }
    };
    // What one host is told is nothing for a cache between it and us.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One text for an unknown host, a wrong or old secret or key, and an address that is not this server's.
fn not_proven(named: Option<&HostName>) -> Problem {
    let refusal = Refusal::new(EventKind::AuthenticationFailed, "credential");
    let refusal = named.map_or_else(|| refusal.clone(), |host| refusal.clone().on(host));
    Problem::unauthorized().recorded(refusal).with_detail(
        "on the server `identree list-hosts` must show this host; there `identree rotate-host-secret HOST --client-conf` \
         (add-host for a new one) prints a host file that is accepted, with --enroll a token to enrol with",
    )
}

impl HostAuth {
    async fn admit(&self, request: Request) -> Result<Request, Problem> {
        let (mut parts, body) = request.into_parts();
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let claimed = match (headers.next().and_then(|value| value.to_str().ok()), headers.next()) {
            (Some(value), None) => Authorization::parse(value).map_err(|_| not_proven(None))?,
            _ => return Err(not_proven(None)),
        };
        let body = body::whole(body, v1::MAX_BODY_BYTES, &*self.clock).await?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        // The one that the request names is tried first, no more: each trial is a MAC.
        let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let (first, others): (Vec<_>, Vec<_>) =
            self.authorities.iter().partition(|authority| Some(authority.as_str()) == named);
        let covered = first.into_iter().chain(others).map(|authority| credential::Request {
            method: parts.method.as_str(),
            authority,
            target,
            host: &claimed.host,
            time_secs: claimed.time_secs,
            body: &body,
        });
        let Some(host) = self.hosts.prove(&claimed, covered) else {
            return Err(not_proven(Some(&claimed.host)));
        };
        if let Some(off) = claimed.clock_off(self.clock.wall()) {
            let (by, way) = (off.unsigned_abs(), if off > 0 { "ahead of" } else { "behind" });
            let detail = format!(
                "the host's clock is {by} s {way} the server's; at most {} s are accepted",
                credential::WINDOW_SECS
            );
            let refusal = Refusal::new(EventKind::AuthenticationFailed, "clock").on(&claimed.host);
            let refusal = refusal.with("seconds", off.to_string());
            return Err(Problem::stale_request().with_detail(detail).recorded(refusal));
        }
        if let Some(standing) = parts.extensions.get::<Standing>() {
            standing.prove();
        }
        tracing::Span::current().record("host", claimed.host.as_str());
        parts.extensions.insert(AuthenticatedHost { name: claimed.host, host });
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}
