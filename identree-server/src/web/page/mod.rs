//! One file per page: from a record and a viewer to what its template shows.

mod hosts;
mod list;
mod question;
mod result;
mod run;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

pub(super) use self::hosts::HostsPage;
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
    pub(super) language: Language,
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
    pub(super) const fn anonymous(language: Language) -> Self {
        Self { text: language.text(), language, assets: Assets, person: None }
    }

    /// For a signed-in person.
    pub(super) fn of(viewer: &Viewer, csrf: &str, language: Language) -> Self {
        let person = Person { name: viewer.name.to_string(), admin: viewer.admin, csrf: csrf.to_owned() };
        Self { text: language.text(), language, assets: Assets, person: Some(person) }
    }
}

impl Frame {
    /// The languages that can be had instead.
    pub(super) fn others(&self) -> impl Iterator<Item = Language> {
        let shown = self.language;
        Language::ALL.into_iter().filter(move |language| *language != shown)
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
