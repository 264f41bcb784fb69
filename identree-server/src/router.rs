//! Every route and every layer, in order, on one page.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;

use crate::api::health::{self, Health};
use crate::api::log::LogApi;
use crate::api::metrics::{self, Metrics};
use crate::api::{self, EnrolApi, HostApi};
use crate::layer::around::AroundLayer;
use crate::layer::client_ip::ClientIpLayer;
use crate::layer::csrf::{Csrf, csrf, same_origin};
use crate::layer::framing::Framing;
use crate::layer::headers::SecurityHeaders;
use crate::layer::host_auth::{self, HostAuth};
use crate::layer::language::Speaks;
use crate::layer::rate_limit::RateLimitLayer;
use crate::layer::sign_in::{SignInLayer, sign_in};
use crate::layer::trace::{Trace, TraceLayer};
use crate::login::{self, Login};
use crate::refusals::Refusals;
use crate::telemetry::HttpMeters;
use crate::web::{self, Problem, Web};

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Rooms {
    /// The host API.
    pub hosts: HostApi,
    /// How hosts come by their keys.
    pub enrol: EnrolApi,
    /// Which host speaks.
    pub host_auth: HostAuth,
    /// Signing in and out.
    pub login: Login,
    /// The pages.
    pub web: Web,
    /// How the server is.
    pub health: Health,
    /// Where forms may come from.
    pub csrf: Csrf,
    /// What pages tell the browser.
    pub headers: SecurityHeaders,
    /// Which proxies tell a client's address.
    pub client_ip: ClientIpLayer,
    /// What is counted, if anything is.
    pub metrics: Option<Metrics>,
    /// The sealed log, if auditors may read it here.
    pub log: Option<LogApi>,
    /// Where what is refused is noted.
    pub refusals: Refusals,
}

/// | routes | outermost layer … innermost |
/// |---|---|
/// | all | `Framing` → `client_ip` → trace (request id, counting) |
/// | `/`, `/hosts`, `/approve/{code}`, `/api/challenges/…`, assets; `/sessions/login`, `/callback`, `/signout` | headers → language → `sign_in` → `rate_limit` → csrf |
/// | `/language` | headers → language → `sign_in` → `rate_limit` → `same_origin` |
/// | `/api/challenge…`, `/api/host/…`, `/api/agent/heartbeat` | `host_auth` → `rate_limit`, no more: ten thousand waiting requests rest there |
/// | `/api/enroll`, which looks at its token and counts by itself | none |
/// | `/livez`, `/readyz`, `/healthz`; `/metrics` and `/log/…`, which look at their tokens themselves | none |
///
/// Layers that come together are given together: each call of `layer` is a box, and a copy of all that is in it, per request.
pub fn router(rooms: Rooms) -> Router {
    let Rooms {
        hosts,
        enrol,
        host_auth,
        login,
        web,
        health,
        csrf: forms,
        headers: tells,
        client_ip,
        metrics,
        log,
        refusals,
    } = rooms;
    let http = metrics.as_ref().map(|metrics| Arc::new(HttpMeters::new(metrics.telemetry.clone())));
    let requests = Trace { parts: login.parts.clone(), http, refusals };
    let every = (AroundLayer::new(Framing), client_ip, TraceLayer::new(requests));
    let limits = host_auth.limits.clone();
    let machine = RateLimitLayer { limits: limits.clone(), reject: |why| api::Problem::too_fast(why).into_response() };
    let host = (from_fn_with_state(Arc::new(host_auth), host_auth::host_auth), machine);
    let cookies = login.cookies;
    let browser = SignInLayer { sessions: login.sessions.clone(), cookies, browsers: login.browsers.clone() };
    let paced = RateLimitLayer { limits, reject: |why| Problem::too_fast(why).into_response() };
    let speaks = AroundLayer::new(Speaks { cookies });
    let page = (AroundLayer::new(tells), speaks, from_fn_with_state(Arc::new(browser), sign_in), paced);
    let forms = Arc::new(forms);
    let pages = Router::new().merge(web::routes(web)).merge(login::routes(login)).fallback(web::not_found).layer((
        every.clone(),
        page.clone(),
        from_fn_with_state(Arc::clone(&forms), csrf),
    ));
    let choice = web::language::routes(cookies).layer((every.clone(), page, from_fn_with_state(forms, same_origin)));
    let others = Router::new()
        .merge(metrics.map(metrics::routes).unwrap_or_default())
        .merge(log.map(api::log::routes).unwrap_or_default())
        .merge(health::routes(health))
        .merge(api::enrolment(enrol.clone()));
    Router::new()
        .merge(others.layer(every.clone()))
        .merge(api::hosts(hosts, enrol).layer((every, host)))
        .merge(pages)
        .merge(choice)
}
