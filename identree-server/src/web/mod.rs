//! The pages.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use identree_core::Engine;

/// What the pages need.
#[derive(Debug, Clone)]
pub struct Web {
    /// The engine.
    pub engine: Engine,
}

/// The routes of the pages.
pub fn routes(_: Web) -> Router {
    Router::new()
}

/// Whatever is not there.
pub async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "Not found", "There is no such page.")
}

/// A page that says what went wrong and what to do.
pub fn problem(status: StatusCode, title: &str, text: &str) -> Response {
    (status, format!("{title}\n{text}\n")).into_response()
}
