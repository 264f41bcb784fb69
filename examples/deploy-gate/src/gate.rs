//! The route that waits.

use axum::extract::{Query, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use identree_core::Engine;
use identree_core::challenge::{Challenge, FreeChallenge};
use identree_core::gate::{Answers, GateLayer, Withheld, nonce_of};
use identree_core::grant::Grant;
use identree_core::id::{ChallengeKind, Target, TargetName, UserName};
use serde::Deserialize;

/// What the address says; the request is parsed once, before the gate.
#[derive(Deserialize)]
struct Asked {
    to: String,
    version: String,
}

/// What is asked for, by whom.
#[derive(Debug, Clone)]
struct Deploy {
    kind: ChallengeKind,
    by: UserName,
    to: TargetName,
    version: String,
}

/// `POST /deploy?to=…&version=…`: parsed, then held, then done.
pub(crate) fn routes(engine: Engine) -> Router {
    Router::new().route("/deploy", post(deploy)).layer(gate(engine)).layer(from_fn(parse))
}

/// Who calls. **A real program checks it here**: a session, a token, a client certificate.
pub(crate) fn caller(headers: &HeaderMap) -> Option<UserName> {
    UserName::parse(headers.get("x-example-user")?.to_str().ok()?).ok()
}

/// Refuses what does not parse, so that the gate has nothing left to refuse but by asking.
async fn parse(Query(asked): Query<Asked>, mut request: Request, next: Next) -> Response {
    let Some(by) = caller(request.headers()) else {
        return (StatusCode::UNAUTHORIZED, "say who you are: x-example-user\n").into_response();
    };
    let (Ok(to), Ok(kind)) = (TargetName::parse(&asked.to), ChallengeKind::parse("deploy")) else {
        return (StatusCode::BAD_REQUEST, "there is no such target\n").into_response();
    };
    request.extensions_mut().insert(Deploy { kind, by, to, version: asked.version });
    next.run(request).await
}

fn gate(engine: Engine) -> GateLayer<Request, Answers<Request, Response>> {
    GateLayer::new(engine, |request: &Request| {
        let Deploy { kind, by, to, version } = request.extensions().get::<Deploy>()?.clone();
        let action = format!("deploy {version} to {to}");
        let question: Box<dyn Challenge> = Box::new(FreeChallenge::new(kind, by, Target::Named(to), action));
        Some(question)
    })
    .nonce(|request| {
        let key = request.headers().get("idempotency-key")?.to_str().ok()?;
        Some(nonce_of(&request.extensions().get::<Deploy>()?.by, key))
    })
    .attach(|request, grant| {
        request.extensions_mut().insert(grant);
    })
    .otherwise(|_, why| {
        let status = match &why {
            Withheld::Refused(_) => StatusCode::FORBIDDEN,
            Withheld::Spent => StatusCode::CONFLICT,
            // Only a gate with `.patience(…)` says so: it would name the page of the question in `Location`.
            Withheld::Pending { .. } => StatusCode::ACCEPTED,
            _ => {
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], format!("{why}\n"))
                    .into_response();
            }
        };
        (status, format!("{why}\n")).into_response()
    })
}

/// Does it. It takes the grant as an argument: without one there is no way to call it, whatever stands before it.
async fn deploy(
    Extension(grant): Extension<Grant>,
    Extension(Deploy { to, version, .. }): Extension<Deploy>,
) -> String {
    let by = grant.answer().extra("by").unwrap_or("a rule");
    format!("deployed {version} to {to}, approved by {by}\n")
}
