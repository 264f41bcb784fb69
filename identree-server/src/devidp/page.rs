//! The two pages and their dress, which nobody should mistake for a real provider's.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use super::Persona;

/// For everything that is not the form.
pub(super) const CLOSED_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "devidp.html")]
struct Page<'a> {
    people: &'a [Persona],
    query: &'a str,
    application: &'a str,
    problem: Option<&'a str>,
}

/// Who to be. The form may lead back to the application and nowhere else.
pub(super) fn choose(people: &[Persona], query: &str, redirect_uri: &Url) -> Response {
    let application = redirect_uri.origin().ascii_serialization();
    let policy = CLOSED_POLICY.replace("form-action 'none'", &format!("form-action 'self' {application}"));
    let page = Page { people, query, application: &application, problem: None };
    ([(header::CONTENT_SECURITY_POLICY, policy)], render(StatusCode::OK, &page)).into_response()
}

/// A request that cannot be sent back to where it came from.
pub(super) fn refused(status: StatusCode, problem: &str) -> Response {
    render(status, &Page { people: &[], query: "", application: "", problem: Some(problem) })
}

fn render(status: StatusCode, page: &Page<'_>) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /style.css`.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1c1917; --paper: #fffbeb; --card: #fff; --line: #d6c48a; --soft: #57534e }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f1e6; --paper: #1c1708; --card: #2a2311; --line: #6b5a22; --soft: #cfc6ad } }
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif }
.warning { padding: .75rem 1rem; color: #000; font-weight: 700; text-align: center; border-block: .75rem solid; border-image:
  repeating-linear-gradient(135deg, #000 0 1rem, #facc15 1rem 2rem) 12; background: #facc15 }
.warning strong { display: block; font-size: 1.25rem; letter-spacing: .06em }
main { max-width: 26rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: 1.35rem; margin: 0 0 .25rem } p { margin: 0 0 1.25rem; color: var(--soft); overflow-wrap: anywhere }
form { display: grid; gap: .75rem }
button { display: block; width: 100%; min-height: 4.25rem; padding: .75rem 1rem; text-align: start; font: inherit; color: inherit;
  background: var(--card); border: 1px solid var(--line); border-radius: .75rem; cursor: pointer }
button:hover { border-color: var(--ink) } button:focus-visible { outline: 3px solid #b45309; outline-offset: 2px }
button b { display: block; font-size: 1.1rem; overflow-wrap: anywhere } button span { color: var(--soft); font-size: .95rem }
";
