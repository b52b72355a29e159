//! A client's connection: what is known of it, how it is written to, and when it has to end.
//!
//! The HTTP library sends each message of some hundred bytes by a call of its own where a connection takes lists of buffers, and
//! gathers them where it does not. With hundreds of watches on a connection the latter is a fraction of the calls.

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
    /// Without a call under way.
    pub(crate) idle: Duration,
}

/// What the calls of a connection share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<State>);

#[derive(Debug)]
struct State {
    client: Client,
    /// Requests whose answers have not ended.
    under_way: AtomicUsize,
    /// Of these, streams.
    streams: AtomicUsize,
    heard: AtomicBool,
    /// A request began or ended.
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

    /// Whose connection it is.
    pub(crate) fn client(&self) -> Client {
        self.0.client
    }

    /// A request, which is under way until this is dropped.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        self.0.changed.notify_one();
        UnderWay(self.clone())
    }

    /// A stream, if fewer than so many are open on the connection.
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

/// A request under way.
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

/// A connection that does not take lists of buffers, and its place among those that the server has.
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
