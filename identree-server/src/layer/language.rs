//! In which language a page answers: the one the person chose here, or else the one their browser prefers
//! (`Accept-Language`, RFC 9110 12.5.4).

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::around::Around;
use super::cookie::{Cookie, Cookies};
use crate::web::{Language, Problem};

/// The layer: for [`AroundLayer`](super::around::AroundLayer). Leaves the [`Language`] with the request, and says a [`Problem`]
/// that comes back in it.
#[derive(Debug, Clone, Copy)]
pub struct Speaks {
    /// Where a person's choice is kept.
    pub cookies: Cookies,
}

impl Around for Speaks {
    type Kept = Language;

    fn before(&self, request: &mut Request) -> Result<Language, Box<Response>> {
        let language = choose(self.cookies, request.headers());
        request.extensions_mut().insert(language);
        Ok(language)
    }

    fn after(&self, language: Language, response: &mut Response) {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            problem.say(response, language);
        }
        let is_page =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if is_page {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
        }
    }
}

fn choose(cookies: Cookies, headers: &HeaderMap) -> Language {
    cookies
        .read(headers, Cookie::Language)
        .and_then(Language::parse)
        .or_else(|| {
            let accepted = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
            preferred(accepted.flat_map(|value| value.split(',')))
        })
        .unwrap_or_default()
}

/// The language of ours with the highest weight; of equal ones the first. None if none of ours is named.
fn preferred<'a>(ranges: impl Iterator<Item = &'a str>) -> Option<Language> {
    let mut best: Option<(u16, Language)> = None;
    for range in ranges {
        let (tag, parameter) = range.split_once(';').unwrap_or((range, "q=1"));
        let tag = tag.trim();
        let primary = tag.split('-').next().unwrap_or_default();
        let language =
            if primary == "*" { Some(Language::default()) } else { Language::parse(&primary.to_ascii_lowercase()) };
        let (Some(language), Some(weight)) = (language, weight(parameter)) else { continue };
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

/// A weight (`q=0.8`) in thousandths; none if it is not one.
fn weight(parameter: &str) -> Option<u16> {
    let value = parameter.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, digits) {
        ("0", true) => Some(thousandths),
        ("1", true) if thousandths == 0 => Some(1000),
        _ => None,
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_weights_count() {
        use Language::{English, German};
        let of = |text: &str| preferred(text.split(','));
        for (text, language) in [
            ("de", Some(German)),
            ("de-AT, en;q=0.9", Some(German)),
            ("DE-de;q=0.5 , en ; q=0.51", Some(English)),
            ("en;q=0.8, de;q=0.8", Some(English)),
            ("fr, de;q=0.1", Some(German)),
            ("fr;q=1, *;q=0.5, de;q=0.4", Some(English)),
            ("de;q=0, en;q=0.001", Some(English)),
            ("de;q=0", None),
            ("den, d, , ;q=1, de;q=2, de;q=0.1234, de;x=1", None),
            ("fr", None),
        ] {
            assert_eq!(of(text), language, "{text}");
        }
    }

    #[test]
    fn what_the_person_chose_counts_more() {
        let headers = |cookie: &'static str| {
            HeaderMap::from_iter([
                (header::COOKIE, HeaderValue::from_static(cookie)),
                (header::ACCEPT_LANGUAGE, HeaderValue::from_static("de")),
            ])
        };
        let of = |cookie| choose(Cookies::new(false), &headers(cookie));
        assert_eq!(of("identree_language=en"), Language::English);
        assert_eq!(of("identree_language=xx"), Language::German);
        assert_eq!(of(""), Language::German);
    }
}
