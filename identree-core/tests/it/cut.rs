//! A way to a server that can be cut: nothing passes then, and nobody is told.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Way {
    pub(crate) port: u16,
    open: watch::Sender<bool>,
}

impl Way {
    /// To a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let here = listener.local_addr().expect("an address").port();
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let is_open = is_open.clone();
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
                        let (near_reads, near_writes) = near.into_split();
                        let (far_reads, far_writes) = far.into_split();
                        tokio::join!(
                            pass(near_reads, far_writes, is_open.clone()),
                            pass(far_reads, near_writes, is_open)
                        );
                    }
                });
            }
        });
        Self { port: here, open }
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// What was sent meanwhile arrives now.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut is_open: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_open.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
