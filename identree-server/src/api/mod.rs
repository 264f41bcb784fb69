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

mod challenge;
mod enroll;
mod error;
pub mod health;
pub mod metrics;
mod waits;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};

pub use self::challenge::HostApi;
pub use self::enroll::EnrolApi;
pub use self::error::Problem;
pub use self::waits::Waits;
use crate::layer::host_auth::{HostAuth, host_auth};
use crate::layer::rate_limit::RateLimitLayer;

/// The host API. Its stack is short on purpose: ten thousand waiting requests rest in it.
pub fn hosts(api: HostApi, enrol: EnrolApi, auth: HostAuth) -> Router {
    let paced = RateLimitLayer { limits: auth.limits.clone(), reject: |why| Problem::too_fast(why).into_response() };
    let wrong_method = || async { Problem::method_not_allowed() };
    let own = Router::new()
        .route("/api/host/key", post(enroll::replace_key).fallback(wrong_method))
        .route("/api/host/keys", get(enroll::keys).fallback(wrong_method))
        .with_state(enrol.clone());
    Router::new()
        .route("/api/challenge", post(challenge::open).fallback(wrong_method))
        .route("/api/challenge/{id}", get(challenge::wait).delete(challenge::cancel).fallback(wrong_method))
        .with_state(api)
        .merge(own)
        .layer((from_fn_with_state(auth, host_auth), paced))
        .route("/api/enroll", post(enroll::enrol).with_state(enrol).fallback(wrong_method))
}
