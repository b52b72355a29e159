//! A TCP proxy whose connections can be cut at any moment.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use headway_runtime::tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Forwards connections to one target.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Cut together; replaced at each cut.
    connections: Mutex<CancellationToken>,
    refusing: AtomicBool,
    accepted: AtomicUsize,
    sent: AtomicUsize,
    ended: CancellationToken,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        tasks::spawn(accept(listener, target, shared.clone()));
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        let mut connections = self.shared.connections.lock().unwrap();
        std::mem::take(&mut *connections).cancel();
    }

    /// Closes new connections at once (`true`), or forwards them again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
        if refuse {
            self.cut();
        }
    }

    /// How many connections were forwarded so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many bytes clients sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.cancel();
        self.cut();
    }
}

async fn accept(listener: TcpListener, target: String, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else {
            continue;
        };
        if shared.refusing.load(Ordering::SeqCst) {
            continue;
        }
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let cut = shared.connections.lock().unwrap().clone();
        let (target, shared) = (target.clone(), shared.clone());
        tasks::spawn(async move {
            let forward = async {
                let server = TcpStream::connect(target).await?;
                let (mut from_server, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                let back = async {
                    copy(&mut from_server, &mut to_client).await?;
                    to_client.shutdown().await
                };
                tokio::try_join!(counted(from_client, to_server, &shared.sent), back)
            };
            tokio::select! {
                () = cut.cancelled() => {}
                _ = forward => {}
            }
        });
    }
}

/// Copies to the end, and counts the bytes.
async fn counted(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        sent.fetch_add(read, Ordering::SeqCst);
    }
}
