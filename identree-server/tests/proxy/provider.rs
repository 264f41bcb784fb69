//! The development provider, where the application is on https. By itself it serves none such, on purpose: here its
//! answers and what it is asked pass a layer that says `http` for the one redirect address.

use std::net::TcpListener;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use identree_core::id::UserName;
use identree_core::rng::OsEntropy;
use identree_core::secret::Secret;
use identree_core::time::SystemClock;
use identree_server::devidp::{Client, DevProvider, Persona};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub(crate) const CLIENT_SECRET: &str = "the client secret of the tests of proxies";

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

/// Serves people for the application at `origin` (https), until the sender is dropped.
pub(crate) fn provide(listener: TcpListener, issuer: &str, origin: &str) -> oneshot::Sender<()> {
    let plain = format!("{}/callback", origin.replacen("https", "http", 1));
    let client = Client {
        id: "identree".into(),
        secret: Secret::new(CLIENT_SECRET.into()),
        redirect_uris: vec![plain.parse().unwrap()],
    };
    let people = Persona::cast(UserName::parse("ann").unwrap());
    let parts = (Arc::new(SystemClock) as _, Arc::new(OsEntropy) as _);
    let provider = DevProvider::new(&issuer.parse().unwrap(), client, people, parts).unwrap();
    let router = provider.router().layer(from_fn_with_state(Arc::<str>::from(plain), said_as_http));
    let (stop, stopped) = oneshot::channel::<()>();
    listener.set_nonblocking(true).unwrap();
    RUNTIME.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, router).with_graceful_shutdown(async move { drop(stopped.await) }).await
    });
    stop
}

async fn said_as_http(State(plain): State<Arc<str>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = |text: &str| text.replace("redirect_uri=https%3A", "redirect_uri=http%3A");
    parts.uri = asked(&parts.uri.to_string()).parse().unwrap();
    let body = to_bytes(body, 64 * 1024).await.unwrap();
    let body = asked(std::str::from_utf8(&body).unwrap());
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let headers = response.headers_mut();
    let back = headers.get(LOCATION).and_then(|to| to.to_str().ok()?.strip_prefix(&*plain).map(str::to_owned));
    if let Some(rest) = back {
        let to = format!("{}{rest}", plain.replacen("http", "https", 1));
        headers.insert(LOCATION, to.parse().unwrap());
    }
    response
}
