//! The accept loop. It takes a bounded number of connections, in all and for each client, and
//! serves each until it ends, is silent for too long, or the server stops.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::{Service, http},
};
use tower::ServiceExt;

use crate::{
    Limits,
    connection::{Connection, Peer, Silence},
    shares::{Client, Shares},
};

/// After this time the server asks an idle connection whether it is still there, and closes it if
/// no answer comes within the second time.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// The most bytes of a request's headers.
const HEADER_BYTES: u32 = 16 * 1024;
/// The most open streams of one connection; more are refused.
pub(crate) const STREAMS: usize = 1000;
/// Calls that a connection has room for beside its streams.
const CALLS: usize = 100;
/// The longest time that a silent connection may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long the loop pauses after it could not accept: at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often the same problem is logged.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

/// Serves connections of this listener until `stopping`, then waits until all have ended. Dropping
/// it cuts off those that have not.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: &Limits,
    stopping: CancellationToken,
) where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let most = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    let shares = Shares::new(most, limits.client_share);
    let http = builder(limits);
    let silence = Silence {
        first: limits.first_byte,
        idle: limits.idle_connection,
    };
    let mut connections = JoinSet::new();
    let mut trouble = Trouble::default();
    loop {
        if places.available_permits() == 0 {
            trouble.tell(|| {
                tracing::warn!(
                    most,
                    "as many connections are open as the server takes; new ones wait"
                )
            });
        }
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            Some(ended) = connections.join_next() => {
                let ended: Result<(), tokio::task::JoinError> = ended;
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection failed with a panic");
                }
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, address, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let rest = trouble.rest(&error);
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = tokio::time::sleep(rest) => continue,
                }
            }
        };
        trouble.rest = None;
        let client = Client::from(address.ip());
        let Ok(place) = shares.take(client) else {
            trouble.tell(|| {
                tracing::warn!(%address, "closed a new connection: its address has as many as client_share allows");
            });
            continue;
        };
        let peer = Peer::new(client);
        let connection = Connection::new(stream, peer.clone(), place);
        let one = one(
            connection,
            peer,
            service.clone(),
            http.clone(),
            silence,
            stopping.clone(),
        );
        connections.spawn(async move {
            one.await;
            drop(permit);
        });
    }
    // Refuse new clients at once instead of letting them wait for the others' end.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is a place. Others wait in the kernel, not in our memory.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let permit = Arc::clone(places).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    // If the other side is gone already, reading finds out.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    Ok((stream, address, permit))
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_connection);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(u32::try_from(STREAMS + CALLS).unwrap_or(u32::MAX));
    builder
}

/// Serves one connection to its end.
async fn one<S>(
    connection: Connection,
    peer: Peer,
    service: S,
    http: Builder<TokioExecutor>,
    silence: Silence,
    stopping: CancellationToken,
) where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let of = peer.clone();
    let service = service.map_request(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(of.clone());
        request
    });
    let io = TokioIo::new(connection);
    let served = http.serve_connection(io, TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let mut silent = std::pin::pin!(peer.silent(silence));
    let mut ending = false;
    let mut cut_off = None;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = stopping.cancelled(), if !ending => ending = true,
            () = silent.as_mut(), if !ending => {
                ending = true;
                cut_off = Some(Instant::now() + GRACE.min(silence.idle));
            }
            () = tokio::time::sleep_until(cut_off.unwrap_or_else(Instant::now)), if cut_off.is_some() => return,
        }
        served.as_mut().graceful_shutdown();
    }
}

/// A problem that may occur again and again, logged only once in a while.
#[derive(Debug, Default)]
struct Trouble {
    told: Option<Instant>,
    /// The last pause of the loop.
    rest: Option<Duration>,
}

impl Trouble {
    fn tell(&mut self, log: impl FnOnce()) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now >= told + LOGGED_EVERY) {
            self.told = Some(now);
            log();
        }
    }

    /// How long to pause after this error. Without file descriptors each attempt would fail at
    /// once.
    fn rest(&mut self, error: &io::Error) -> Duration {
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        ) {
            return Duration::ZERO;
        }
        let rest = self.rest.map_or(REST.0, |rest| (rest * 2).min(REST.1));
        self.rest = Some(rest);
        self.tell(|| {
            tracing::error!(
                %error,
                "cannot accept connections; trying again. If too many files are open, raise the limit (ulimit -n)"
            );
        });
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_makes_the_loop_rest_and_is_told_once_in_a_while() {
        let full = io::Error::other("too many open files");
        let mut trouble = Trouble::default();
        assert_eq!(trouble.rest(&full), REST.0);
        assert_eq!(trouble.rest(&full), REST.0 * 2);
        for _ in 0..10 {
            trouble.rest(&full);
        }
        assert_eq!(trouble.rest(&full), REST.1);
        let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(trouble.rest(&gone), Duration::ZERO);
        let mut told = 0;
        trouble.tell(|| told += 1);
        assert_eq!(told, 0, "it was told of just now");
        tokio::time::advance(LOGGED_EVERY).await;
        trouble.tell(|| told += 1);
        assert_eq!(told, 1);
    }
}
