//! How a host makes its own key known, replaces it, and hears of new decision keys.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use identree_core::actor::Whence;
use identree_core::audit::EventKind;
use identree_core::enrol::{self, EnrolReply, EnrolRequest, Enrolment, KeyRequest, KeysReply};
use identree_core::text::visible;
use identree_core::time::Clock;
use identree_core::wire::v1::VERSION;
use std::sync::Arc;

use super::Problem;
use crate::announced::Announced;
use crate::hosts::{EnrolRefusal, HostCredential, Hosts};
use crate::layer::body;
use crate::layer::client_ip::ClientAddress;
use crate::layer::host_auth::AuthenticatedHost;
use crate::layer::rate_limit::RateLimits;
use crate::refusals::Refusal;

/// What these routes need.
#[derive(Debug, Clone)]
pub struct EnrolApi {
    /// The registry.
    pub hosts: Hosts,
    /// What hosts are told.
    pub announced: Announced,
    /// Counts who tries to enrol.
    pub limits: RateLimits,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Anybody may come here; who knows no token learns nothing.
pub(super) async fn enrol(State(api): State<EnrolApi>, request: Request) -> Response {
    let client = request.extensions().get::<ClientAddress>().copied();
    let mut response = match api.limits.count_enrolment(client) {
        Err(why) => Problem::too_fast(why).into_response(),
        Ok(()) => match api.enrolled(request, client).await {
            Ok(reply) => Json(reply).into_response(),
            Err(problem) => problem.into_response(),
        },
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The host itself replaces its key.
pub(super) async fn replace_key(
    State(api): State<EnrolApi>,
    Extension(host): Extension<AuthenticatedHost>,
    request: Request,
) -> Result<Json<KeysReply>, Problem> {
    let (parts, bytes) = request.into_parts();
    let bytes = body::whole(bytes, enrol::MAX_BODY_BYTES, &*api.clock).await?;
    let request: KeyRequest = body::json(&parts.headers, &bytes, |bytes| serde_json::from_slice(bytes))?;
    body::version(request.v)?;
    let HostCredential::Key { public: old, .. } = &host.host.credential else {
        let refusal = Refusal::new(EventKind::EnrolmentRefused, "no_key").on(&host.name);
        let how = "a host with a secret enrols: identree rotate-host-secret NAME --enroll";
        return Err(Problem::no_key().with_detail(how).recorded(refusal));
    };
    // The answer to the first one was lost: what was asked for is so.
    if *old != request.key {
        let whence = parts.extensions.get::<Whence>().cloned().unwrap_or_default();
        let replaced = api.hosts.replace_key((&host.name, old), &request.key, &request.proof, &whence).await;
        replaced.map_err(|refusal| match refusal.as_str() {
            Some(why) => {
                let recorded = Refusal::new(EventKind::EnrolmentRefused, why).on(&host.name);
                refused(&refusal).recorded(recorded)
            }
            None => refused(&refusal),
        })?;
    }
    api.told()
}

/// Whatever is new about decision keys.
pub(super) async fn keys(State(api): State<EnrolApi>) -> Result<Json<KeysReply>, Problem> {
    api.told()
}

impl EnrolApi {
    async fn enrolled(&self, request: Request<Body>, client: Option<ClientAddress>) -> Result<EnrolReply, Problem> {
        let (parts, bytes) = request.into_parts();
        let bytes = body::whole(bytes, enrol::MAX_BODY_BYTES, &*self.clock).await?;
        let request: EnrolRequest = body::json(&parts.headers, &bytes, |bytes| serde_json::from_slice(bytes))?;
        body::version(request.v)?;
        let whence = parts.extensions.get::<Whence>().cloned().unwrap_or_default();
        match self.hosts.enrol(&request, &whence).await {
            Ok((token, since)) => {
                let trust = self.announced.trust();
                let enrolment = Enrolment {
                    host: request.host.clone(),
                    key: request.key,
                    since,
                    epoch: trust.epoch,
                    keys: trust.keys,
                    root: trust.root,
                    settings: self.announced.settings(),
                };
                tracing::info!(host = request.host.as_str(), key = %request.key, "the host has enrolled its own key");
                Ok(EnrolReply::new(&token, &request, &enrolment))
            }
            Err(refusal) => {
                if !matches!(refusal, EnrolRefusal::Store(_)) {
                    let client = client.map(|client| client.0.to_string()).unwrap_or_default();
                    tracing::warn!(
                        host = &*visible(request.host.as_str()),
                        token = %request.token,
                        client,
                        "a host did not enrol: {refusal}"
                    );
                    metrics::counter!("identree_auth_failures_total", "reason" => "enrolment").increment(1);
                }
                let problem = refused(&refusal);
                Err(match refusal.as_str() {
                    Some(why) => {
                        let refusal = Refusal::new(EventKind::EnrolmentRefused, why).on(&request.host);
                        problem.recorded(refusal.with("token", request.token.to_string()))
                    }
                    None => problem,
                })
            }
        }
    }

    fn told(&self) -> Result<Json<KeysReply>, Problem> {
        Ok(Json(KeysReply { v: VERSION, statements: self.announced.statements() }))
    }
}

/// Who knows no token is told one thing, whatever it was.
fn refused(refusal: &EnrolRefusal) -> Problem {
    match refusal {
        EnrolRefusal::Stranger => Problem::enrolment_refused().with_detail(
            "on the server `identree list-hosts` must show this host; there `identree rotate-host-secret HOST --enroll` \
             (add-host for a new one) prints a token that is accepted",
        ),
        EnrolRefusal::NoPossession => Problem::no_possession(),
        EnrolRefusal::Used | EnrolRefusal::Withdrawn => Problem::token_used().with_detail(refusal.to_string()),
        EnrolRefusal::Expired => Problem::token_expired()
            .with_detail("on the server `identree rotate-host-secret HOST --enroll` prints a new one"),
        EnrolRefusal::NoKey => Problem::no_key(),
        EnrolRefusal::Store(error) => {
            tracing::error!(error = error as &dyn std::error::Error, "a host's enrolment could not be kept");
            Problem::unavailable()
        }
    }
}
