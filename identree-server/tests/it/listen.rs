//! The listener itself, over real sockets.

use std::net::SocketAddr;

use axum::routing::get;
use axum::{Extension, Router};
use identree_server::layer::client_ip::{ClientAddress, ClientIpLayer, TrustedProxies};
use identree_server::listen::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A listener on loopback; it stops with the value.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

pub(crate) async fn serve(router: Router) -> Served {
    let listener = Listener::plain("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, (stop, stopped)) = (listener.address().unwrap(), watch::channel(false));
    drop(tokio::spawn(listener.serve(router, stopped)));
    Served { address, stop }
}

/// Sends the text and reads until the server closes.
async fn exchange(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_knows_its_client_and_only_a_trusted_proxy_may_name_another() {
    let shown =
        || get(|Extension(ClientAddress(address)): Extension<ClientAddress>| async move { address.to_string() });
    for (proxies, expected) in [(&["127.0.0.0/8"][..], "192.0.2.7"), (&[], "127.0.0.1")] {
        let proxies = TrustedProxies::parse(proxies.iter().copied()).unwrap();
        let served = serve(Router::new().route("/", shown()).layer(ClientIpLayer { proxies })).await;
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.1\r\n\
                       X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 203.0.113.2\r\nForwarded: for=203.0.113.3\r\n\r\n";
        let answer = exchange(served.address, request).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
}
