//! `POST /language`: the person chooses a language, signed in or not. It changes nothing but a cookie of their own.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use serde::Deserialize;

use super::text::Language;
use crate::layer::cookie::{Cookie, Cookies};
use crate::web::Problem;

/// How long a browser remembers it.
const REMEMBERED: Duration = Duration::from_secs(365 * 24 * 3600);

/// The largest form: one short field.
const MAX_FORM_BYTES: usize = 1024;

/// The route; for the server to merge beside the pages, behind a check of the origin.
pub fn routes(cookies: Cookies) -> Router {
    Router::new().route("/language", post(choose)).layer(DefaultBodyLimit::max(MAX_FORM_BYTES)).with_state(cookies)
}

#[derive(Deserialize)]
struct Choice {
    language: String,
}

async fn choose(
    State(cookies): State<Cookies>,
    headers: HeaderMap,
    form: Result<Form<Choice>, FormRejection>,
) -> Response {
    let Some(language) = form.ok().and_then(|Form(choice)| Language::parse(&choice.language)) else {
        return Problem::bad_form().into_response();
    };
    let cookie = cookies.set(Cookie::Language, language.tag(), REMEMBERED);
    ([(header::SET_COOKIE, cookie)], Redirect::to(&back(&headers))).into_response()
}

/// The page the form stood on, if it can be asked for again; otherwise the first.
fn back(headers: &HeaderMap) -> String {
    let from = headers.get(header::REFERER).and_then(|from| url::Url::parse(from.to_str().ok()?).ok());
    from.map(|from| from.path().to_owned())
        .filter(|path| path.starts_with("/approve/"))
        .unwrap_or_else(|| "/".to_owned())
}
