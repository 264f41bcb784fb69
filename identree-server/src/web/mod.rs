//! The pages.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A page that says what went wrong and what to do.
pub fn problem(status: StatusCode, title: &str, text: &str) -> Response {
    (status, format!("{title}\n{text}\n")).into_response()
}
