//! How fast one host, one person, one address may go. Who has proven who they are counts for themselves and for nobody else;
//! only what proves nothing counts for its address, which many may share.

mod quota;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Extensions, HeaderValue, Request, Response, header};
use identree_core::id::{HostName, UserName};
use identree_core::time::Clock;
use tower::{Layer, Service};

pub use self::quota::{NotARate, Rate};
use self::quota::{Ticks, Used};
use super::browser::Browser;
use super::client_ip::ClientAddress;
use super::host_auth::AuthenticatedHost;
use super::sign_in::SignedIn;
use crate::refusals::Refusal;

/// The rates. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of a host that proved itself.
    pub per_host: Option<Rate>,
    /// Of a person who is signed in, in all their browsers.
    pub per_user: Option<Rate>,
    /// Of one browser that is not signed in and has begun to.
    pub per_browser: Option<Rate>,
    /// Of an address, for what proves nothing: failed proofs of hosts, and pages without a session, each by itself.
    pub per_address: Option<Rate>,
}

impl Default for Rates {
    /// Those of `config/table.rs`; of a browser 60 in a minute.
    fn default() -> Self {
        let rate =
            |per_minute, burst| Some(Rate { per_minute: NonZeroU32::new(per_minute)?, burst: NonZeroU32::new(burst)? });
        Self {
            per_host: rate(1200, 600),
            per_user: rate(600, 300),
            per_browser: rate(60, 60),
            per_address: rate(600, 300),
        }
    }
}

/// Too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; try again in {} s", self.secs())]
pub struct Rejection {
    /// When there is room again.
    pub wait: Duration,
    /// Which rate: the label of the metric.
    pub limit: &'static str,
}

impl Rejection {
    /// The same in whole seconds, at least one: what `Retry-After` says (RFC 9110 §10.2.3).
    pub fn secs(&self) -> u32 {
        u32::try_from(self.wait.as_millis().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
    }
}

/// What everybody has used of the rates. Cheap to clone; every clone counts together.
#[derive(Clone)]
pub struct RateLimits(Arc<Counts>);

struct Counts {
    hosts: Used<HostName>,
    people: Used<UserName>,
    browsers: Used<Browser>,
    visitors: Used<IpAddr>,
    failures: Used<IpAddr>,
    enrolments: Used<IpAddr>,
}

/// Of an address, for tries to enrol: a person pastes a token, or a machine enrols itself once.
fn per_enroller() -> Option<Rate> {
    Some(Rate { per_minute: NonZeroU32::new(30)?, burst: NonZeroU32::new(30)? })
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits").finish_non_exhaustive()
    }
}

impl RateLimits {
    /// Nothing used yet.
    pub fn new(rates: &Rates, clock: Arc<dyn Clock>) -> Self {
        let ticks = Ticks::new(clock);
        Self(Arc::new(Counts {
            hosts: Used::new(rates.per_host, &ticks),
            people: Used::new(rates.per_user, &ticks),
            browsers: Used::new(rates.per_browser, &ticks),
            visitors: Used::new(rates.per_address, &ticks),
            failures: Used::new(rates.per_address, &ticks),
            enrolments: Used::new(per_enroller(), &ticks),
        }))
    }

    /// Counts a request for whoever it proved to come from: the host, else the person, else the browser, else the address.
    /// Where no address is known, as of calls within a process, nobody is counted.
    ///
    /// # Errors
    /// [`Rejection`] above the rate.
    pub fn count(&self, request: &Extensions) -> Result<(), Rejection> {
        let (limit, counted) = if let Some(host) = request.get::<AuthenticatedHost>() {
            ("host_rate", self.0.hosts.count(&host.name))
        } else if let Some(person) = request.get::<SignedIn>() {
            ("user_rate", self.0.people.count(person.actor.name()))
        } else if let Some(browser) = request.get::<Browser>() {
            ("browser_rate", self.0.browsers.count(browser))
        } else {
            let client = request.get::<ClientAddress>();
            ("address_rate", client.map_or(Ok(()), |client| self.0.visitors.count(&client.network())))
        };
        counted.map_err(|wait| rejected(limit, wait))
    }

    /// Counts a proof that failed for the address it came from.
    ///
    /// # Errors
    /// [`Rejection`] above the rate.
    pub fn count_failure(&self, client: Option<ClientAddress>) -> Result<(), Rejection> {
        let counted = client.map_or(Ok(()), |client| self.0.failures.count(&client.network()));
        counted.map_err(|wait| rejected("failure_rate", wait))
    }
}

impl RateLimits {
    /// Counts a try to enrol for the address it came from.
    ///
    /// # Errors
    /// [`Rejection`] above the rate.
    pub fn count_enrolment(&self, client: Option<ClientAddress>) -> Result<(), Rejection> {
        let counted = client.map_or(Ok(()), |client| self.0.enrolments.count(&client.network()));
        counted.map_err(|wait| rejected("enrolment_rate", wait))
    }
}

/// The same for the record, with who it was.
fn refusal(why: Rejection, request: &Extensions) -> Refusal {
    let refusal = Refusal::limited(why.limit);
    match (request.get::<AuthenticatedHost>(), request.get::<SignedIn>()) {
        (Some(host), _) => refusal.on(&host.name),
        (None, Some(person)) => refusal.of(person.actor.name()),
        (None, None) => refusal,
    }
}

fn rejected(limit: &'static str, wait: Duration) -> Rejection {
    metrics::counter!("identree_rate_limit_rejections_total", "limit" => limit).increment(1);
    Rejection { wait, limit }
}

/// How a refusal looks.
pub trait Reject<B>: Clone + Send + Sync + 'static {
    /// The answer to a request that is not let through.
    fn reject(&self, why: Rejection) -> Response<B>;
}

impl<B, F: Fn(Rejection) -> Response<B> + Clone + Send + Sync + 'static> Reject<B> for F {
    fn reject(&self, why: Rejection) -> Response<B> {
        self(why)
    }
}

/// Lets requests through as fast as [`RateLimits`] say. Plain tower; stands inside whatever proves who it is.
#[derive(Debug, Clone)]
pub struct RateLimitLayer<R> {
    /// What counts.
    pub limits: RateLimits,
    /// How a refusal looks.
    pub reject: R,
}

impl<S, R: Clone> Layer<S> for RateLimitLayer<R> {
    type Service = RateLimit<S, R>;

    fn layer(&self, inner: S) -> RateLimit<S, R> {
        RateLimit { inner, layer: self.clone() }
    }
}

/// What [`RateLimitLayer`] makes.
#[derive(Debug, Clone)]
pub struct RateLimit<S, R> {
    inner: S,
    layer: RateLimitLayer<R>,
}

impl<S, R, A, B> Service<Request<A>> for RateLimit<S, R>
where
    S: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    R: Reject<B>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Limited<S::Future, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        match self.layer.limits.count(request.extensions()) {
            Ok(()) => Limited { passed: Some(self.inner.call(request)), refused: None },
            Err(why) => {
                let mut response = self.layer.reject.reject(why);
                refusal(why, request.extensions()).leave(&mut response);
                // Who is refused keeps no connection by asking on.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                Limited { passed: None, refused: Some(Box::new(response)) }
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The answer of [`RateLimit`].
    #[derive(Debug)]
    pub struct Limited<F, B> {
        #[pin]
        passed: Option<F>,
        refused: Option<Box<Response<B>>>,
    }
}

impl<F: Future<Output = Result<Response<B>, Infallible>>, B> Future for Limited<F, B> {
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.passed.as_pin_mut(), this.refused.take()) {
            (Some(passed), _) => passed.poll(context),
            (None, Some(refused)) => Poll::Ready(Ok(*refused)),
            (None, None) => Poll::Pending, // polled again after its end
        }
    }
}
