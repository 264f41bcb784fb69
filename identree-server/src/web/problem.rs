//! When something does not work: one page in the dress of the others, with what to do next.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identree_core::text::visible;

use super::page::{Frame, show};
use super::text::{Language, Text};
use crate::layer::rate_limit::Rejection;

/// An error page. Says what, and how to go on; never anything that helps to guess.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    more: &'static str,
    action: (&'static str, String),
    retry_after: Option<u32>,
}

#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    title: &'a str,
    detail: &'a str,
    more: &'a str,
    action: &'a str,
    path: &'a str,
}

const TEXT: &Text = Language::English.text();

impl Problem {
    fn new(status: StatusCode, title: &'static str, more: &'static str) -> Self {
        Self {
            status,
            title,
            detail: String::new(),
            more,
            action: (TEXT.back_to_list, "/".to_owned()),
            retry_after: None,
        }
    }

    /// 404: no such page, or no question that this person may see. The same for both.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, TEXT.not_found, TEXT.not_found_more)
    }

    /// 403: a form that did not come from one of our pages.
    pub fn foreign_form() -> Self {
        Self::new(StatusCode::FORBIDDEN, TEXT.foreign_form, TEXT.foreign_form_more)
    }

    /// 401: a form of somebody whose session has ended.
    pub fn signed_out() -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, TEXT.signed_out, TEXT.signed_out_more);
        problem.action = (TEXT.sign_in, "/sessions/login".to_owned());
        problem
    }

    /// 403: the form carries another session's token.
    pub fn stale_form() -> Self {
        Self::new(StatusCode::FORBIDDEN, TEXT.stale_form, TEXT.stale_form_more)
    }

    /// 400: the form could not be read.
    pub fn bad_form() -> Self {
        Self::new(StatusCode::BAD_REQUEST, TEXT.bad_form, TEXT.bad_form_more)
    }

    /// 413: a form larger than any of ours.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, TEXT.too_large, TEXT.too_large_more)
    }

    /// 408: a form that trickles in.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, TEXT.too_slow, TEXT.too_slow_more)
    }

    /// 429: above a rate, with when there is room again.
    pub fn too_fast(why: Rejection) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, TEXT.too_fast, TEXT.too_fast_more);
        problem.retry_after = Some(why.secs());
        problem
    }

    /// 503: the store or the policy does not answer.
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, TEXT.unavailable, TEXT.unavailable_more)
    }

    /// Signing in did not work, with the reason in words for the person and the status to answer with. Offers to try
    /// again.
    pub fn sign_in_failed(status: StatusCode, reason: &str) -> Self {
        let mut problem = Self::new(status, TEXT.sign_in_failed, TEXT.sign_in_failed_more);
        problem.detail = visible(reason).into_owned();
        problem.action = (TEXT.try_again, "/sessions/login".to_owned());
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let page = ProblemPage {
            frame: Frame::anonymous(),
            title: self.title,
            detail: &self.detail,
            more: self.more,
            action: self.action.0,
            path: &self.action.1,
        };
        let mut response = show(self.status, &page);
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}
