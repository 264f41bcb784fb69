//! What looks at a request and at its answer without waiting for anything between: a layer without a box of its own, since
//! ten thousand requests rest in the same stack.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use tower::{Layer, Service};

/// Before and after.
pub trait Around: Send + Sync + 'static {
    /// What is remembered from the request until its answer.
    type Kept: Send + 'static;

    /// Looks at the request, and may leave something with it; or answers it, and nothing within sees it.
    ///
    /// # Errors
    /// The answer.
    fn before(&self, request: &mut Request) -> Result<Self::Kept, Box<Response>>;

    /// Looks at the answer from within.
    fn after(&self, kept: Self::Kept, response: &mut Response);
}

/// The layer of an [`Around`]. Cheap to clone.
#[derive(Debug)]
pub struct AroundLayer<A>(Arc<A>);

impl<A> AroundLayer<A> {
    /// Of this.
    pub fn new(around: A) -> Self {
        Self(Arc::new(around))
    }
}

impl<A> Clone for AroundLayer<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A, S> Layer<S> for AroundLayer<A> {
    type Service = AroundService<A, S>;

    fn layer(&self, inner: S) -> AroundService<A, S> {
        AroundService { around: Arc::clone(&self.0), inner }
    }
}

/// What [`AroundLayer`] makes.
#[derive(Debug)]
pub struct AroundService<A, S> {
    around: Arc<A>,
    inner: S,
}

impl<A, S: Clone> Clone for AroundService<A, S> {
    fn clone(&self) -> Self {
        Self { around: Arc::clone(&self.around), inner: self.inner.clone() }
    }
}

impl<A: Around, S: Service<Request, Response = Response, Error = Infallible>> Service<Request> for AroundService<A, S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Answered<A, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Answered<A, S::Future> {
        match self.around.before(&mut request) {
            Ok(kept) => {
                let inner = self.inner.call(request);
                Answered { inner: Some(inner), kept: Some((Arc::clone(&self.around), kept)), at_once: None }
            }
            Err(response) => Answered { inner: None, kept: None, at_once: Some(response) },
        }
    }
}

pin_project_lite::pin_project! {
    /// The answer of [`AroundService`].
    #[derive(Debug)]
    pub struct Answered<A: Around, F> {
        #[pin]
        inner: Option<F>,
        kept: Option<(Arc<A>, A::Kept)>,
        at_once: Option<Box<Response>>,
    }
}

impl<A: Around, F: Future<Output = Result<Response, Infallible>>> Future for Answered<A, F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            // Polled again after its end it never ends.
            return this.at_once.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)));
        };
        let Ok(mut response) = std::task::ready!(inner.poll(context));
        if let Some((around, kept)) = this.kept.take() {
            around.after(kept, &mut response);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    /// Answers requests for `/no`, and marks the other answers with their path.
    #[derive(Debug)]
    struct Marks;

    impl Around for Marks {
        type Kept = String;

        fn before(&self, request: &mut Request) -> Result<String, Box<Response>> {
            match request.uri().path() {
                "/no" => Err(Box::new(Response::builder().status(403).body(Body::empty()).unwrap())),
                path => Ok(path.to_owned()),
            }
        }

        fn after(&self, kept: String, response: &mut Response) {
            response.headers_mut().insert("x-path", kept.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn an_answer_before_is_the_answer_and_what_was_kept_comes_back_after() {
        let router = Router::new().fallback(|| async {}).layer(AroundLayer::new(Marks));
        let of = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        let (yes, no) = (of("/yes").await, of("/no").await);
        assert_eq!((yes.status(), yes.headers()["x-path"].to_str().unwrap()), (StatusCode::OK, "/yes"));
        assert_eq!((no.status(), no.headers().get("x-path")), (StatusCode::FORBIDDEN, None));
    }
}
