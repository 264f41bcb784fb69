//! Every JSON route.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `POST /api/challenge` | a host | opens a question |
//! | `GET /api/challenge/{id}?wait=25` | a host | waits for the answer to its own question |
//! | `DELETE /api/challenge/{id}` | a host | takes its own question back |

mod challenge;
mod error;
pub mod health;
pub mod metrics;
mod waits;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};

pub use self::challenge::HostApi;
pub use self::error::Problem;
pub use self::waits::Waits;
use crate::layer::host_auth::{HostAuth, host_auth};
use crate::layer::rate_limit::RateLimitLayer;

/// The host API. Its stack is short on purpose: ten thousand waiting requests rest in it.
pub fn hosts(api: HostApi, auth: HostAuth) -> Router {
    let paced = RateLimitLayer { limits: auth.limits.clone(), reject: |why| Problem::too_fast(why).into_response() };
    let wrong_method = || async { Problem::method_not_allowed() };
    Router::new()
        .route("/api/challenge", post(challenge::open).fallback(wrong_method))
        .route("/api/challenge/{id}", get(challenge::wait).delete(challenge::cancel).fallback(wrong_method))
        .with_state(api)
        .layer((from_fn_with_state(auth, host_auth), paced))
}
