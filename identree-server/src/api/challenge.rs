//! Host API v1: open, wait, cancel.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use identree_core::actor::{Actor, Strength, Whence};
use identree_core::audit::EventKind;
use identree_core::challenge::{Challenge, ChallengeRecord, Settled, State as Standing};
use identree_core::engine::Limit;
use identree_core::grant::{Answer, Decision};
use identree_core::id::{ChallengeId, HostName, Target};
use identree_core::text::is_hidden;
use identree_core::wire::login::Opening;
use identree_core::wire::v1::{self, Reply, Status};
use identree_core::{Ask, Engine, EngineError};
use url::Url;

use super::{Problem, Waits};
use crate::announced::Announced;
use crate::layer::body;
use crate::layer::host_auth::AuthenticatedHost;
use crate::refusals::Refusal;

/// How an [`Actor`] that a host states came in.
const BY: &str = "host credential";

/// What the host API needs.
#[derive(Debug, Clone)]
pub struct HostApi {
    /// The engine.
    pub engine: Engine,
    /// Where people reach the server (`IDENTREE_EXTERNAL_URL`).
    pub external_url: Arc<Url>,
    /// How many requests of one host may rest here.
    pub waits: Waits,
    /// What hosts are told with an answer.
    pub announced: Announced,
}

pub(super) async fn open(
    State(api): State<Arc<HostApi>>,
    Extension(host): Extension<AuthenticatedHost>,
    whence: Option<Extension<Whence>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request = parse(&headers, &body)?;
    if host.host.users.as_ref().is_some_and(|users| !users.contains(request.username())) {
        let detail = format!("{} is not on the list of host {}", request.username(), host.name);
        let refusal = Refusal::new(EventKind::AskRefused, "user_not_allowed").of(request.username()).on(&host.name);
        return Err(Problem::user_not_allowed().with_detail(detail).recorded(refusal));
    }
    let nonce = request.nonce();
    let groups = host.host.group.into_iter().collect();
    let challenge = request.into_challenge(Target::Host(host.name), groups).map_err(|error| {
        let problem = if error.is_too_long() { Problem::too_long() } else { Problem::invalid_request() };
        problem.with_detail(error.to_string())
    })?;
    let whence = from(whence);
    let ask = Ask { nonce: Some(nonce), whence: Some(&whence), ..Ask::new(&*challenge) };
    let opened = api.engine.open(ask).await.map_err(|error| refused(error, &*challenge))?;
    let status = if opened.record.is_pending() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(api.reply(&opened.record).await?)).into_response())
}

pub(super) async fn wait(
    State(api): State<Arc<HostApi>>,
    Extension(host): Extension<AuthenticatedHost>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Reply>, Problem> {
    let secs = wait_secs(query.as_deref())?;
    let mut record = api.own(id, &host).await?;
    if record.is_pending() {
        let held = (secs > 0).then(|| api.waits.hold(&host.name).ok_or_else(|| too_many_waits(&host.name)));
        let _held = held.transpose()?;
        // Also without a wait: "not yet" is what the store says.
        let until = api.engine.clock().now() + Duration::from_secs(secs.into());
        record = api.engine.wait_for_record(record.question().id, until).await.map_err(problem)?;
    }
    Ok(Json(api.reply(&record).await?))
}

pub(super) async fn cancel(
    State(api): State<Arc<HostApi>>,
    Extension(host): Extension<AuthenticatedHost>,
    whence: Option<Extension<Whence>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Reply>, Problem> {
    let record = api.own(id, &host).await?;
    let question = record.question();
    if record.is_pending() {
        let now = api.engine.clock().now();
        let requester = Actor::vouched(BY, question.requester.clone(), now, Strength::Stated);
        let requester = requester.calling_from(from(whence));
        api.engine.cancel(question.id, &requester).await.map_err(problem)?;
    }
    let record = api.engine.record(question.id).await.map_err(problem)?.ok_or_else(Problem::not_found)?;
    Ok(Json(api.reply(&record).await?))
}

/// Where a host's request comes from, for the record.
fn from(whence: Option<Extension<Whence>>) -> Whence {
    Whence { via: Some(BY), ..whence.map(|Extension(whence)| whence).unwrap_or_default() }
}

impl HostApi {
    /// The host's own question; another host's does not exist for it, and neither does what no id can name.
    async fn own(
        &self,
        id: Result<Path<String>, PathRejection>,
        host: &AuthenticatedHost,
    ) -> Result<Arc<ChallengeRecord>, Problem> {
        let Path(id) = id.map_err(|_| Problem::not_found())?;
        let id = ChallengeId::parse(&id).map_err(|_| Problem::not_found())?;
        let record = self.engine.record(id).await.map_err(problem)?.ok_or_else(Problem::not_found)?;
        let own = matches!(&record.question().target, Target::Host(name) if *name == host.name);
        if own {
            return Ok(record);
        }
        let refusal = Refusal::new(EventKind::AskRefused, "of_another_host").of(&record.question().requester);
        Err(Problem::not_found().recorded(refusal.on(&host.name)))
    }

    async fn reply(&self, record: &ChallengeRecord) -> Result<Reply, Problem> {
        let question = record.question();
        let answer = self.engine.answer(record).await.map_err(problem)?;
        // What is signed and what is said beside it agree: an approval that nobody claimed in time has expired.
        let signed = answer.as_ref().and_then(|answer| Answer::decode(&answer.bytes).ok());
        let lapsed = signed.is_some_and(|(_, answer)| answer.decision == Decision::Expired);
        let (status, pending) = match record.state() {
            Standing::Pending { .. } => (Status::Pending, true),
            _ if lapsed => (Status::Expired, false),
            Standing::Settled { how, .. } => (status(how), false),
        };
        let left = question.expires_at.since(self.engine.clock().now()).as_millis().div_ceil(1000);
        Ok(Reply {
            v: v1::VERSION,
            challenge_id: question.id,
            status,
            expires_in: if pending { u32::try_from(left).unwrap_or(u32::MAX) } else { 0 },
            user_code: pending.then(|| question.code.clone()),
            verification_url: pending.then(|| self.page(question.code.as_str())),
            current_approvals: u32::try_from(record.votes().len()).unwrap_or(u32::MAX),
            required_approvals: record.needed(),
            statements: if answer.is_some() { self.announced.statements() } else { Vec::new() },
            answer,
        })
    }

    fn page(&self, code: &str) -> String {
        format!("{}/approve/{code}", self.external_url.as_str().trim_end_matches('/'))
    }
}

const fn status(how: &Settled) -> Status {
    match how {
        Settled::Granted(_) => Status::Approved,
        Settled::Denied { .. } => Status::Denied,
        Settled::Expired => Status::Expired,
        Settled::Cancelled { .. } => Status::Cancelled,
        Settled::Refused { .. } => Status::Refused,
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Opening, Problem> {
    let request = body::json(headers, body, Opening::parse)?;
    body::version(request.version())?;
    for (what, text) in request.texts() {
        if text.chars().any(is_hidden) {
            return Err(
                Problem::forbidden_character().with_detail(format!("{what} has control or invisible characters"))
            );
        }
    }
    Ok(request)
}

fn wait_secs(query: Option<&str>) -> Result<u32, Problem> {
    let mut secs = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match (&*key, value.parse::<u32>()) {
            ("wait", Ok(wait)) if wait <= v1::MAX_WAIT_SECS && secs.is_none() => secs = Some(wait),
            _ => {
                let detail = format!("the only parameter is wait, 0 to {} seconds", v1::MAX_WAIT_SECS);
                return Err(Problem::invalid_request().with_detail(detail));
            }
        }
    }
    Ok(secs.unwrap_or(0))
}

fn problem(error: EngineError) -> Problem {
    match error {
        EngineError::NonceReused => Problem::nonce_reused(),
        EngineError::NotFound => Problem::not_found(),
        // Logged when it was seen first.
        EngineError::ClockOff(off) => Problem::clock_off().with_detail(off.to_string()).retry_after(CLOCK_AGAIN),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "a host's request could not be answered");
            Problem::unavailable()
        }
    }
}

/// Why a question was not opened, with what is recorded of it.
fn refused(error: EngineError, challenge: &dyn Challenge) -> Problem {
    let about = |refusal: Refusal| match challenge.target() {
        Target::Host(host) => refusal.of(challenge.requester()).on(host),
        _ => refusal.of(challenge.requester()),
    };
    match error {
        EngineError::Limited(limit) => limited(limit, about),
        EngineError::NonceReused => problem(error).recorded(about(Refusal::new(EventKind::AskRefused, "nonce_reused"))),
        error => problem(error),
    }
}

/// By then the other servers are asked instead, or the clock is right.
const CLOCK_AGAIN: Duration = Duration::from_secs(2);

/// A request that rests ends after 25 s at most.
const WAIT_AGAIN: Duration = Duration::from_secs(2);

fn too_many_waits(host: &HostName) -> Problem {
    metrics::counter!("identree_rate_limit_rejections_total", "limit" => "waits").increment(1);
    Problem::too_many_waits().retry_after(WAIT_AGAIN).recorded(Refusal::limited("waits").on(host))
}

/// A question that ends makes room; how soon, nobody knows.
const ROOM_AGAIN: Duration = Duration::from_secs(10);

fn limited(limit: Limit, about: impl FnOnce(Refusal) -> Refusal) -> Problem {
    let (problem, wait, counted) = match limit {
        Limit::Requester(_) => (Problem::too_many_for_user(), ROOM_AGAIN, "user"),
        Limit::Target(_) => (Problem::too_many_for_host(), ROOM_AGAIN, "host"),
        Limit::CoolDown { left } => (Problem::cool_down(), left, "cool_down"),
        _ => (Problem::too_many(), ROOM_AGAIN, "all"),
    };
    metrics::counter!("identree_rate_limit_rejections_total", "limit" => counted).increment(1);
    problem.with_detail(limit.to_string()).retry_after(wait).recorded(about(Refusal::limited(counted)))
}
