//! The connection of a client: its state, how it is written to, and when it must end.
//!
//! If a connection takes lists of buffers, the HTTP library sends each message of a few hundred
//! bytes by a call of its own. If not, the library gathers them. With hundreds of watches on a
//! connection, gathering needs a fraction of the calls.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::Instant,
};

use crate::shares::{Client, Place};

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    /// Before its first byte.
    pub(crate) first: Duration,
    /// Without a running call.
    pub(crate) idle: Duration,
}

/// What the calls of a connection share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<State>);

#[derive(Debug)]
struct State {
    client: Client,
    /// Requests whose answers have not ended.
    under_way: AtomicUsize,
    /// The streams among them.
    streams: AtomicUsize,
    heard: AtomicBool,
    /// Notified when a request began or ended.
    changed: Notify,
}

impl Peer {
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(State {
            client,
            under_way: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            heard: AtomicBool::new(false),
            changed: Notify::new(),
        }))
    }

    /// The client of the connection.
    pub(crate) fn client(&self) -> Client {
        self.0.client
    }

    /// A request. It counts as running until this is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_one();
        UnderWay(self.clone())
    }

    /// A stream, unless this many are open on the connection.
    pub(crate) fn open_stream(&self, most: usize) -> Option<OpenStream> {
        let more = |open: usize| (open < most).then_some(open + 1);
        let streams = &self.0.streams;
        let opened = streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        opened.ok().map(|_| OpenStream(self.clone()))
    }

    /// Returns once the connection was silent for too long.
    pub(crate) async fn silent(&self, silence: Silence) {
        let first = Instant::now() + silence.first;
        tokio::time::sleep_until(first).await;
        if !self.0.heard.load(Ordering::Acquire) {
            return;
        }
        loop {
            let idle = self.0.under_way.load(Ordering::Acquire) == 0;
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(silence.idle), if idle => return,
            }
        }
    }
}

/// A running request.
#[derive(Debug)]
pub(crate) struct UnderWay(Peer);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.under_way.fetch_sub(1, Ordering::AcqRel);
        state.changed.notify_one();
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct OpenStream(Peer);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection that does not take lists of buffers, and its place among the connections of the
/// server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    peer: Peer,
    _place: Place,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: Peer, place: Place) -> Self {
        Self {
            stream,
            peer,
            _place: place,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.peer.0.heard.store(true, Ordering::Release);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
