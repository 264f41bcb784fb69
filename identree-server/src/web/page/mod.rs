//! One file per page: from a record and a viewer to what its template shows.

mod list;
mod question;
mod result;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

pub(super) use self::list::{ListPage, Recent, Waiting, WelcomePage, fingerprint};
pub(super) use self::question::{Objection, QuestionPage};
pub(super) use self::result::ResultPage;
use super::asset::Assets;
use super::text::{Language, Text};
use super::view::Viewer;

/// What every page has around it.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) text: &'static Text,
    pub(super) language: &'static str,
    pub(super) assets: Assets,
    pub(super) person: Option<Person>,
}

/// Who is signed in.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) admin: bool,
    pub(super) csrf: String,
}

impl Frame {
    /// For a visitor of whom nothing is known.
    pub(super) const fn anonymous() -> Self {
        Self { text: Language::English.text(), language: Language::English.tag(), assets: Assets, person: None }
    }

    /// For a signed-in person.
    pub(super) fn of(viewer: &Viewer, csrf: &str) -> Self {
        let person = Person { name: viewer.name.to_string(), admin: viewer.admin, csrf: csrf.to_owned() };
        Self { text: Language::English.text(), language: Language::English.tag(), assets: Assets, person: Some(person) }
    }
}

/// The page as a response that no cache keeps.
pub(super) fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "cannot render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
