//! A layer that holds any tower request, HTTP or not, until its question is granted (feature `tower`).
//!
//! # How a request goes through
//!
//! 1. The embedder's closure looks at the request. `None` means that nothing needs to be asked: the request passes at once.
//!    `Some(challenge)` is the question.
//! 2. The gate opens the question ([`Engine::open`]) and waits. No thread, no query and no place of the inner service is
//!    held meanwhile.
//! 3. On a grant the inner service is waited for, the grant is written down as spent, handed to the request
//!    ([`GateLayer::attach`]), and the inner service is called: once per grant, also across a restart.
//! 4. On anything else the inner service is never called. The reason, a [`Withheld`], is turned into a response by the
//!    embedder ([`GateLayer::otherwise`]) or is the error of the service.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! use std::convert::Infallible;
//!
//! use identree_core::Engine;
//! use identree_core::challenge::{Challenge, FreeChallenge};
//! use identree_core::gate::{GateLayer, Withheld};
//! use identree_core::id::{ChallengeKind, Target, TargetName, UserName};
//! use identree_core::policy::RuleSet;
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! let engine = Engine::builder().policy(RuleSet::parse(r#"
//!     [[policies]]
//!     name = "staging"
//!     match_hosts = ["shop/staging"]
//!     action = "allow"
//! "#)?).build().await?;
//!
//! // A request of any type. Who asks comes from whatever has checked the caller: a session, a client certificate.
//! struct Deploy { by: UserName, to: TargetName }
//!
//! let kind = ChallengeKind::parse("deploy")?;
//! let gate = GateLayer::new(engine, move |request: &Deploy| -> Option<Box<dyn Challenge>> {
//!     if request.to.as_str() == "sandbox" {
//!         return None; // nothing to ask
//!     }
//!     let (by, to) = (request.by.clone(), Target::Named(request.to.clone()));
//!     Some(Box::new(FreeChallenge::new(kind.clone(), by, to, format!("deploy to {}", request.to))))
//! })
//! .otherwise(|_request, why| match why {
//!     Withheld::Pending { record, .. } => format!("look at /deploys/{} later", record.question().id),
//!     no => format!("no: {no}"),
//! });
//!
//! let deploy = gate.layer(service_fn(|request: Deploy| async move {
//!     Ok::<_, Infallible>(format!("deployed to {}", request.to))
//! }));
//! let to = |name| Ok::<_, identree_core::id::NameError>(Deploy { by: UserName::parse("ann")?, to: TargetName::parse(name)? });
//! assert_eq!(deploy.clone().oneshot(to("sandbox")?).await?, "deployed to sandbox");
//! assert_eq!(deploy.clone().oneshot(to("shop/staging")?).await?, "deployed to shop/staging");
//! assert!(deploy.oneshot(to("shop/production")?).await?.starts_with("no: refused by the policy"));
//! # Ok(()) }) }
//! ```
//!
//! The closure must not answer `None` when it cannot build its question: `None` lets the request pass. Parse names before
//! the gate, as here, and refuse there what does not parse.
//!
//! # Over HTTP
//!
//! Attach the grant to the request's extensions, answer with a status. With axum both bodies are `axum::body::Body`.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use identree_core::Engine;
//! use identree_core::challenge::Challenge;
//! use identree_core::gate::{Answers, GateLayer, Withheld};
//!
//! fn approval<B: 'static>(
//!     engine: Engine,
//!     question: fn(&Request<B>) -> Option<Box<dyn Challenge>>,
//! ) -> GateLayer<Request<B>, Answers<Request<B>, Response<String>>> {
//!     GateLayer::new(engine, question)
//!         .attach(|request, grant| { request.extensions_mut().insert(grant); })
//!         .otherwise(|_, why| {
//!             let mut response = Response::new(why.to_string());
//!             *response.status_mut() = match why {
//!                 Withheld::Refused(_) | Withheld::Spent => StatusCode::FORBIDDEN,
//!                 Withheld::Pending { .. } => StatusCode::ACCEPTED,
//!                 _ => StatusCode::SERVICE_UNAVAILABLE, // we could not tell: no
//!             };
//!             response
//!         })
//! }
//! ```
//!
//! # Who waits for how long
//!
//! A request is held until its question is settled, which the question's life bounds ([`GateLayer::life`], else the
//! engine's). With [`GateLayer::patience`] it is held for a shorter time and then answered [`Withheld::Pending`]: `202` and
//! where to look. Zero answers at once.
//!
//! A caller that hangs up takes its question back. A caller that gave a key ([`GateLayer::nonce`]) may come back: its
//! question stays until it ends by itself, and the same request with the same key is let through once it is granted.

mod hold;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use crate::canon::{Writer, sha256};
use crate::challenge::{Challenge, ChallengeRecord};
use crate::engine::{Engine, EngineError, Refusal};
use crate::grant::Grant;
use crate::id::{Nonce, UserName};
use crate::time::BoxFuture;

/// Any error, as tower's own middleware gives it.
pub type BoxError = Box<dyn Error + Send + Sync>;

type Ask<R> = dyn Fn(&R) -> Option<Box<dyn Challenge>> + Send + Sync;
type Key<R> = dyn Fn(&R) -> Option<Nonce> + Send + Sync;
type Attach<R> = dyn Fn(&mut R, Grant) + Send + Sync;
type Answer<R, T> = dyn Fn(&R, Withheld) -> T + Send + Sync;

/// Why a request was not let through. Nothing but a grant lets one through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Withheld {
    /// No: denied, expired, taken back, refused by a rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not yet: the patience is over and the question still waits.
    #[error("the question waits for an answer: {have} of {need} approvals")]
    Pending {
        /// The question; its id tells where to look, its nonce is the key of another try.
        record: Arc<ChallengeRecord>,
        /// Approvals it has.
        have: u32,
        /// Approvals it needs.
        need: u32,
    },
    /// The question was granted, and a request with the same key has gone ahead with that grant.
    #[error("the grant was used already")]
    Spent,
    /// It could not be told.
    #[error(transparent)]
    Failed(#[from] EngineError),
}

/// The reason becomes the error of the service: what [`GateLayer::new`] starts with.
#[derive(Debug, Clone, Copy)]
pub struct Fails;

/// The reason becomes a response ([`GateLayer::otherwise`]).
pub struct Answers<R, T>(Arc<Answer<R, T>>);

impl<R, T> Clone for Answers<R, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Holds requests of type `R` until their questions are granted. See the [module](self) for the whole way.
pub struct GateLayer<R, O = Fails> {
    gate: Arc<Gatekeeper<R>>,
    otherwise: O,
}

/// What all clones of one gate share.
struct Gatekeeper<R> {
    engine: Engine,
    ask: Arc<Ask<R>>,
    key: Arc<Key<R>>,
    attach: Arc<Attach<R>>,
    life: Option<Duration>,
    patience: Option<Duration>,
}

impl<R> Clone for Gatekeeper<R> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            ask: Arc::clone(&self.ask),
            key: Arc::clone(&self.key),
            attach: Arc::clone(&self.attach),
            life: self.life,
            patience: self.patience,
        }
    }
}

impl<R, O: Clone> Clone for GateLayer<R, O> {
    fn clone(&self) -> Self {
        Self { gate: Arc::clone(&self.gate), otherwise: self.otherwise.clone() }
    }
}

impl<R, O> fmt::Debug for GateLayer<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer").field("patience", &self.gate.patience).finish_non_exhaustive()
    }
}

impl<R> GateLayer<R> {
    /// A gate that asks what the closure makes of a request; `None` lets it pass.
    pub fn new(engine: Engine, ask: impl Fn(&R) -> Option<Box<dyn Challenge>> + Send + Sync + 'static) -> Self {
        let gate = Gatekeeper {
            engine,
            ask: Arc::new(ask),
            key: Arc::new(|_| None),
            attach: Arc::new(|_, _| {}),
            life: None,
            patience: None,
        };
        Self { gate: Arc::new(gate), otherwise: Fails }
    }
}

impl<R, O> GateLayer<R, O> {
    /// The same gate, which answers with what the closure makes of the reason.
    #[must_use]
    pub fn otherwise<T>(
        self,
        answer: impl Fn(&R, Withheld) -> T + Send + Sync + 'static,
    ) -> GateLayer<R, Answers<R, T>> {
        GateLayer { gate: self.gate, otherwise: Answers(Arc::new(answer)) }
    }

    /// The same gate, which gives the grant to the request before the inner service is called.
    #[must_use]
    pub fn attach(mut self, attach: impl Fn(&mut R, Grant) + Send + Sync + 'static) -> Self {
        self.change().attach = Arc::new(attach);
        self
    }

    /// The same gate, which takes the question's nonce from the request: the same nonce again is the same question, and one
    /// grant lets one request through. See [`nonce_of`].
    #[must_use]
    pub fn nonce(mut self, key: impl Fn(&R) -> Option<Nonce> + Send + Sync + 'static) -> Self {
        self.change().key = Arc::new(key);
        self
    }

    /// The same gate, whose questions wait so long; without it the engine's own time counts.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.change().life = Some(life);
        self
    }

    /// The same gate, which holds a request at most so long and then answers [`Withheld::Pending`]; zero answers at once.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.change().patience = Some(patience);
        self
    }

    fn change(&mut self) -> &mut Gatekeeper<R> {
        Arc::make_mut(&mut self.gate)
    }
}

/// The nonce of a caller's idempotency key: SHA-256 over who asks and the key, so that nobody runs into the key of another.
/// A request that differs in what it asks is another question and gets [`EngineError::NonceReused`].
pub fn nonce_of(requester: &UserName, key: &str) -> Nonce {
    let mut writer = Writer::new(b"identree gate key v1");
    writer.put_text(requester.as_str());
    writer.put_text(key);
    Nonce::from_bytes(sha256(&writer.finish()))
}

impl<S, R, O: Clone> Layer<S> for GateLayer<R, O> {
    type Service = Gate<S, R, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate { inner, gate: Arc::clone(&self.gate), otherwise: self.otherwise.clone(), request: PhantomData }
    }
}

/// The service that [`GateLayer`] makes.
///
/// It is always ready: a request that waits for a person must not keep a place of the inner service meanwhile. The inner
/// service is asked for readiness after the grant, on the clone that is then called. Bound the number of held requests
/// outside the gate.
pub struct Gate<S, R, O = Fails> {
    inner: S,
    gate: Arc<Gatekeeper<R>>,
    otherwise: O,
    request: PhantomData<fn(R)>,
}

impl<S: Clone, R, O: Clone> Clone for Gate<S, R, O> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: Arc::clone(&self.gate),
            otherwise: self.otherwise.clone(),
            request: PhantomData,
        }
    }
}

impl<S: fmt::Debug, R, O> fmt::Debug for Gate<S, R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// How a call ended.
enum Outcome<R, T, E> {
    Called(Result<T, E>),
    Withheld(R, Withheld),
}

/// Passes, or holds and then passes, or does not. The only place that calls the inner service.
async fn go<S: Service<R>, R>(gate: &Gatekeeper<R>, mut inner: S, mut request: R) -> Outcome<R, S::Response, S::Error> {
    let Some(challenge) = (gate.ask)(&request) else {
        return match poll_fn(|context| inner.poll_ready(context)).await {
            Ok(()) => Outcome::Called(inner.call(request).await),
            Err(error) => Outcome::Called(Err(error)),
        };
    };
    let key = (gate.key)(&request);
    let grant = match hold::hold(&gate.engine, challenge, key, gate.life, gate.patience).await {
        Ok(grant) => grant,
        Err(why) => return Outcome::Withheld(request, why),
    };
    if let Err(error) = poll_fn(|context| inner.poll_ready(context)).await {
        return Outcome::Called(Err(error)); // the grant is not spent: the same key may try again
    }
    if let Err(why) = hold::spend(&gate.engine, &grant).await {
        return Outcome::Withheld(request, why);
    }
    (gate.attach)(&mut request, grant);
    Outcome::Called(inner.call(request).await)
}

impl<S, R, T> Service<R> for Gate<S, R, Answers<R, T>>
where
    S: Service<R, Response = T> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    R: Send + 'static,
    T: Send + 'static,
{
    type Response = T;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<T, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (gate, inner, answers) = (Arc::clone(&self.gate), self.inner.clone(), self.otherwise.clone());
        Box::pin(async move {
            match go(&gate, inner, request).await {
                Outcome::Called(result) => result,
                Outcome::Withheld(request, why) => Ok((answers.0)(&request, why)),
            }
        })
    }
}

impl<S, R> Service<R> for Gate<S, R, Fails>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (gate, inner) = (Arc::clone(&self.gate), self.inner.clone());
        Box::pin(async move {
            match go(&gate, inner, request).await {
                Outcome::Called(result) => result.map_err(Into::into),
                Outcome::Withheld(_, why) => Err(why.into()),
            }
        })
    }
}
