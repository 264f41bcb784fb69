//! When something does not work: one page in the dress of the others, with what to do next.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identree_core::text::visible;

use super::page::{Frame, show};
use super::text::{Language, Text, fill};
use crate::layer::rate_limit::Rejection;

/// Picks one text of a language.
type Pick = fn(&'static Text) -> &'static str;

/// An error page. Says what, and how to go on; never anything that helps to guess. The language layer says it in the
/// visitor's language; where there is none it is English.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    title: Pick,
    detail: Option<Detail>,
    more: Pick,
    action: (Pick, &'static str),
    retry_after: Option<u32>,
}

/// What exactly, with what is to be filled in.
#[derive(Debug, Clone)]
pub(crate) struct Detail(pub(crate) Pick, pub(crate) Vec<(&'static str, String)>);

#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    title: &'static str,
    detail: String,
    more: &'static str,
    action: &'static str,
    path: &'static str,
}

impl Problem {
    fn new(status: StatusCode, title: Pick, more: Pick) -> Self {
        Self { status, title, detail: None, more, action: (|text| text.back_to_list, "/"), retry_after: None }
    }

    /// 404: no such page, or no question that this person may see. The same for both.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, |text| text.not_found, |text| text.not_found_more)
    }

    /// 403: a form that did not come from one of our pages.
    pub fn foreign_form() -> Self {
        Self::new(StatusCode::FORBIDDEN, |text| text.foreign_form, |text| text.foreign_form_more)
    }

    /// 401: a form of somebody whose session has ended.
    pub fn signed_out() -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, |text| text.signed_out, |text| text.signed_out_more);
        problem.action = (|text| text.sign_in, "/sessions/login");
        problem
    }

    /// 403: the form carries another session's token.
    pub fn stale_form() -> Self {
        Self::new(StatusCode::FORBIDDEN, |text| text.stale_form, |text| text.stale_form_more)
    }

    /// 400: the form could not be read.
    pub fn bad_form() -> Self {
        Self::new(StatusCode::BAD_REQUEST, |text| text.bad_form, |text| text.bad_form_more)
    }

    /// 413: a form larger than any of ours.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, |text| text.too_large, |text| text.too_large_more)
    }

    /// 408: a form that trickles in.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, |text| text.too_slow, |text| text.too_slow_more)
    }

    /// 429: above a rate, with when there is room again.
    pub fn too_fast(why: Rejection) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, |text| text.too_fast, |text| text.too_fast_more);
        problem.retry_after = Some(why.secs());
        problem
    }

    /// 503: the store or the policy does not answer.
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, |text| text.unavailable, |text| text.unavailable_more)
    }

    /// Signing in did not work, with the reason for the person and the status to answer with. Offers to try again.
    pub(crate) fn sign_in_failed(status: StatusCode, reason: Detail) -> Self {
        let mut problem = Self::new(status, |text| text.sign_in_failed, |text| text.sign_in_failed_more);
        problem.detail = Some(reason);
        problem.action = (|text| text.try_again, "/sessions/login");
        problem
    }
}

impl Problem {
    fn page(&self, language: Language) -> Response {
        let text = language.text();
        let detail = self.detail.as_ref().map(|Detail(pick, values)| {
            let values: Vec<_> = values.iter().map(|(key, value)| (*key, visible(value))).collect();
            let values: Vec<_> = values.iter().map(|(key, value)| (*key, value.as_ref())).collect();
            fill(pick(text), &values)
        });
        let page = ProblemPage {
            frame: Frame::anonymous(language),
            title: (self.title)(text),
            detail: detail.unwrap_or_default(),
            more: (self.more)(text),
            action: (self.action.0)(text),
            path: self.action.1,
        };
        show(self.status, &page)
    }

    /// Says it in this language instead; headers that were added meanwhile stay.
    pub(crate) fn say(self, response: &mut Response, language: Language) {
        if language != Language::default() {
            *response.body_mut() = self.page(language).into_body();
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.page(Language::default());
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response.extensions_mut().insert(self);
        response
    }
}
