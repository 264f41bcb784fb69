//! Every JSON route.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `POST /api/challenge` | a host | opens a question |
//! | `GET /api/challenge/{id}?wait=25` | a host | waits for the answer to its own question |
//! | `DELETE /api/challenge/{id}` | a host | takes its own question back |
//! | `POST /api/enroll` | whoever knows a token | makes a host's own key known |
//! | `POST /api/host/key` | a host | replaces its own key |
//! | `GET /api/host/keys` | a host | hears of new decision keys |
//! | `POST /api/agent/heartbeat` | a host | says how its gate stands |

mod bearer;
mod challenge;
mod enroll;
mod error;
pub mod health;
mod heartbeat;
pub mod log;
pub mod metrics;
mod waits;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use self::bearer::BearerToken;
pub use self::challenge::HostApi;
pub use self::enroll::EnrolApi;
pub use self::error::Problem;
pub use self::heartbeat::HeartbeatApi;
pub use self::waits::Waits;

/// The host API, for the server to put behind a proof of the host.
pub fn hosts(api: HostApi, enrol: EnrolApi) -> Router {
    let wrong_method = || async { Problem::method_not_allowed() };
    let own = Router::new()
        .route("/api/host/key", post(enroll::replace_key).fallback(wrong_method))
        .route("/api/host/keys", get(enroll::keys).fallback(wrong_method))
        .with_state(enrol.clone());
    let beats = HeartbeatApi { heartbeats: enrol.hosts.heartbeats(), clock: enrol.clock };
    let own = own.merge(
        Router::new()
            .route("/api/agent/heartbeat", post(heartbeat::heartbeat).fallback(wrong_method))
            .with_state(Arc::new(beats)),
    );
    Router::new()
        .route("/api/challenge", post(challenge::open).fallback(wrong_method))
        .route("/api/challenge/{id}", get(challenge::wait).delete(challenge::cancel).fallback(wrong_method))
        .with_state(Arc::new(api))
        .merge(own)
}

/// Where a host that has nothing but a token comes to have a key; it looks at the token and counts by itself.
pub fn enrolment(enrol: EnrolApi) -> Router {
    let wrong_method = || async { Problem::method_not_allowed() };
    Router::new().route("/api/enroll", post(enroll::enrol).fallback(wrong_method)).with_state(enrol)
}
