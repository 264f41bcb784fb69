//! A name for every request, in its answer and in every line of the log that is about it; and an answer for those that end
//! in a panic. The log holds method, path and status; never a query, a header or
//! a body, nor the code of a question, which holds the number that an approver types.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use identree_core::actor::Whence;
use identree_core::rng::bytes;
use identree_core::text::{hex, visible};
use identree_core::wire::v1;
use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};

use super::client_ip::ClientAddress;
use crate::api::Problem;
use crate::parts::Parts;
use crate::refusals::{Refusal, Refusals};
use crate::telemetry::{HttpMeters, Stopwatch};

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer. A proxy's id is kept if it is a plain one.
#[derive(Debug, Clone)]
pub struct TraceLayer(Arc<Trace>);

/// What the layer needs.
#[derive(Debug)]
pub struct Trace {
    /// Randomness, for ids.
    pub parts: Parts,
    /// Where answers are counted, if they are.
    pub http: Option<Arc<HttpMeters>>,
    /// Where what is refused is noted.
    pub refusals: Refusals,
}

impl TraceLayer {
    /// With these.
    pub fn new(trace: Trace) -> Self {
        Self(Arc::new(trace))
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { trace: Arc::clone(&self.0), inner }
    }
}

/// What [`TraceLayer`] makes.
#[derive(Debug, Clone)]
pub struct Traced<S> {
    trace: Arc<Trace>,
    inner: S,
}

impl<S: Service<Request, Response = Response, Error = Infallible>> Service<Request> for Traced<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Tracing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Tracing<S::Future> {
        let plain =
            |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
        let id: Arc<str> = sent.map_or_else(|| hex(&bytes::<8>(&*self.trace.parts.entropy)).into(), Arc::from);
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let address = request.extensions().get::<ClientAddress>().map(|client| client.0);
        let whence = Whence { via: None, address, request: Some(Arc::clone(&id)) };
        request.extensions_mut().insert(whence.clone());
        let path = shown(request.uri().path(), matched.as_ref().map(MatchedPath::as_str));
        let client = address.map(tracing::field::display);
        // Of the highest level, so that its lines have it whatever the filter lets through. Layers within add who it is.
        let who = tracing::field::Empty;
        let method = request.method().clone();
        // The id is shown as it is: it is made of plain characters alone.
        let span = tracing::error_span!("request", %id, %method, path = &*path, client, host = who, person = who);
        let machine = path.strip_prefix(v1::CHALLENGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let trace = Arc::clone(&self.trace);
        let told = told(&request, &id, matched.as_ref());
        let about = About { trace, id, whence, method, matched, machine, watch: Stopwatch::start(), told };
        let within = about.told.enter();
        let called = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| self.inner.call(request))));
        drop(within);
        Tracing { inner: called.ok().map(|future| future.instrument(span.clone())), span, about }
    }
}

/// What is known of a request when its answer comes.
#[derive(Debug)]
struct About {
    trace: Arc<Trace>,
    id: Arc<str>,
    whence: Whence,
    method: Method,
    matched: Option<MatchedPath>,
    machine: bool,
    watch: Stopwatch,
    /// What the collector of traces is told, if there is one.
    told: Span,
}

impl About {
    /// Logs, counts and names the answer; `None` after a panic.
    fn answer(&self, response: Option<Response>) -> Response {
        let http = self.trace.http.as_ref();
        let mut response = response.unwrap_or_else(|| {
            tracing::error!("the request ended in a panic and is answered with 500");
            if let Some(http) = http {
                http.panicked();
            }
            failed(self.machine, &self.id)
        });
        let seconds = self.watch.seconds();
        self.told.record("http.response.status_code", response.status().as_u16());
        tracing::debug!(status = response.status().as_u16(), duration_ms = seconds * 1e3, "answered");
        if let Some(http) = http {
            let route = self.matched.as_ref().map(MatchedPath::as_str);
            http.answered(&self.method, route, response.status(), seconds);
        }
        if let Some(refusal) = Refusal::take(&mut response) {
            self.trace.refusals.note(refusal.from(self.whence.clone()));
        }
        if let Ok(value) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
}

pin_project_lite::pin_project! {
    /// The answer of [`Traced`]. A panic within harms no other request: what they share is behind locks that a panic leaves
    /// as they are after each whole change.
    #[derive(Debug)]
    pub struct Tracing<F> {
        #[pin]
        inner: Option<Instrumented<F>>,
        span: Span,
        about: About,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Tracing<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let within = this.about.told.enter();
        let polled = this.inner.as_pin_mut().map(|inner| catch_unwind(AssertUnwindSafe(|| inner.poll(context))));
        let answered = match polled {
            Some(Ok(Poll::Pending)) => return Poll::Pending,
            Some(Ok(Poll::Ready(Ok(response)))) => Some(response),
            Some(Err(_)) | None => None,
        };
        drop(within);
        Poll::Ready(Ok(this.span.in_scope(|| this.about.answer(answered))))
    }
}

/// The span for the collector: method, route, status, the request's id, and no more. It goes on with the trace of whoever called, if a
/// trusted proxy says so (W3C Trace Context).
fn told(request: &Request, id: &str, matched: Option<&MatchedPath>) -> Span {
    let (route, empty) = (matched.map_or("none", MatchedPath::as_str), tracing::field::Empty);
    let method = request.method();
    let span = tracing::error_span!(
        target: "identree_trace", parent: None, "request", otel.kind = "server", otel.name = empty,
        http.request.method = %method, http.route = route, http.response.status_code = empty, identree.request.id = id,
    );
    if !span.is_disabled() {
        span.record("otel.name", &*format!("{method} {route}"));
        #[cfg(feature = "otlp")]
        if request.extensions().get::<super::client_ip::FromProxy>().is_some() {
            crate::telemetry::traces::go_on(&span, request.headers());
        }
    }
    span
}

/// The path, made safe to show. Of a question's page it is the route. In what is no route six digits may be the number of a
/// question whose address was mistyped.
fn shown<'a>(path: &'a str, route: Option<&'a str>) -> Cow<'a, str> {
    match route {
        Some(route) if route.contains("{code}") => route.into(),
        Some(_) => visible(path),
        None => masked(&visible(path)).into(),
    }
}

/// The text without runs of six or more digits.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &part[..part.len() - rest.len()];
        out.push_str(if digits.len() < 6 { digits } else { "…" });
        out.push_str(rest);
    }
    out
}

/// The answer after a panic, with where to look.
fn failed(machine: bool, id: &str) -> Response {
    let text = format!("The server failed on this. Its log says more under {id}.\n");
    if machine {
        return Problem::internal().with_detail(text.trim_end()).into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
