//! The development provider, on a loopback address that nobody else has.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};

use identree_core::id::UserName;
use identree_core::rng::OsEntropy;
use identree_core::secret::Secret;
use identree_core::time::SystemClock;
use identree_server::devidp::{Client, DevProvider, Persona};
use tokio::runtime::Runtime;

pub(crate) const CLIENT_SECRET: &str = "the client secret of this test only";

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

/// Outgoing connections never take a port of these addresses: they come from 127.0.0.1.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn free_port(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The development provider, until the sender is dropped.
pub(crate) fn provide(listener: TcpListener, issuer: &str, callback: &str) -> tokio::sync::oneshot::Sender<()> {
    let client = Client {
        id: "identree".into(),
        secret: Secret::new(CLIENT_SECRET.into()),
        redirect_uris: vec![callback.parse().unwrap()],
    };
    let people = Persona::cast(UserName::parse("ann").unwrap());
    let parts = (Arc::new(SystemClock) as _, Arc::new(OsEntropy) as _);
    let provider = DevProvider::new(&issuer.parse().unwrap(), client, people, parts).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    listener.set_nonblocking(true).unwrap();
    RUNTIME.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        provider.serve(listener, async move { drop(stopped.await) }).await
    });
    stop
}
