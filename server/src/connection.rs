//! A client's connection: one of a bounded number, and written to in one piece.
//!
//! The HTTP library sends each message of some hundred bytes by a call of its own where a connection takes lists of buffers, and
//! gathers them where it does not. With hundreds of watches on a connection the latter is a fraction of the calls.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, TryStreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection that does not take lists of buffers, and its place among those that the server has.
#[derive(Debug)]
pub(crate) struct Connection(
    TcpStream,
    #[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit,
);

/// Accepts so many connections at once. More wait until one is closed, in the kernel and not in memory of ours.
pub(crate) fn bounded(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send,
    most: usize,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    incoming.and_then(move |connection| {
        let places = Arc::clone(&places);
        async move {
            if places.available_permits() == 0 {
                tracing::warn!(most, "new connections wait: so many are open");
            }
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            Ok(Connection(connection, place))
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
