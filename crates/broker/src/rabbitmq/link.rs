//! One connection that is repaired for as long as the broker lives: connect, watch, and after a
//! loss connect again with a capped, jittered pause. What ran on the lost connection is up to its
//! owner: consumers attach again, publishes tell their callers.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event, ExchangeKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::channels::{ChannelPool, Purpose};
use super::config::RabbitConfig;
use super::failure::unavailable;
use super::reattach;
use crate::{BrokerError, Topic, names};

/// A connection that lasted this long was a good one: the next loss is repaired without delay.
const STABLE: Duration = Duration::from_secs(2);

/// How long a polite goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long a publish may take before its connection is probed, and again between two probes.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// How long a lost connection's exchanges may still end by themselves.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How often a connection is looked at of which nothing is heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// A connection that works, and its channels.
#[derive(Debug)]
pub(super) struct Live {
    connection: Connection,
    /// Cancelled when the connection is lost or found stuck; its users and its keeper let go of it
    /// then.
    abandoned: CancellationToken,
    /// `true` while the broker takes no publishes (out of memory or disk).
    blocked: watch::Sender<bool>,
    /// Channels for administration.
    pub plain: ChannelPool,
    /// Channels for publishing with confirms.
    pub confirms: ChannelPool,
    /// Channels for transient broadcasts.
    pub topics: ChannelPool,
}

impl Live {
    fn new(connection: Connection, prefix: &str) -> Result<Self, BrokerError> {
        let exchanges = vec![
            topic_exchange(prefix, Topic::Control)?,
            topic_exchange(prefix, Topic::Events)?,
        ];
        Ok(Self {
            connection,
            abandoned: CancellationToken::new(),
            blocked: watch::Sender::new(false),
            plain: ChannelPool::new(Purpose::Plain),
            confirms: ChannelPool::new(Purpose::Confirms),
            topics: ChannelPool::new(Purpose::Topics(exchanges)),
        })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.abandoned.is_cancelled() && self.connection.status().connected()
    }

    /// Does something for as long as the connection lasts. The client library may leave an exchange
    /// without an answer that a loss falls into.
    pub(crate) async fn while_up<T>(
        &self,
        exchange: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        tokio::select! {
            biased;
            done = exchange => done,
            () = self.gone() => Err(BrokerError::Unavailable("the connection was lost".into())),
        }
    }

    /// Ends a moment after the connection was lost: whatever hears of the loss by itself knows
    /// more.
    async fn gone(&self) {
        self.abandoned.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    /// Ends when the connection turns out to be stuck, for whoever finds it so and for all others
    /// that use it. A broker may stop reading from a publishing connection for good while its
    /// heartbeats go on, as when a quorum queue is deleted under a channel that waits for it (seen
    /// on 3.10). A new channel, which needs no queue, tells that from confirms that are slow.
    pub(crate) async fn stuck(&self) {
        loop {
            tokio::select! {
                () = self.gone() => return,
                () = tokio::time::sleep(PROBE_AFTER) => {}
            }
            let probe = self.connection.create_channel();
            let answered = tokio::time::timeout(PROBE_PATIENCE, probe).await.is_ok();
            // A broker that is out of memory or disk says so, and reads again later.
            if !answered && !self.is_blocked() {
                self.abandoned.cancel();
            }
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Waits until the broker blocks this connection.
    pub(crate) async fn blocked(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.blocked.subscribe().wait_for(|blocked| *blocked).await;
    }
}

/// The exchange of a topic.
pub(super) fn topic_exchange(
    prefix: &str,
    topic: Topic,
) -> Result<(ShortString, ExchangeKind), BrokerError> {
    let kind = match topic {
        Topic::Control => ExchangeKind::Fanout,
        Topic::Events => ExchangeKind::Direct,
    };
    Ok((short(names::exchange_name(prefix, topic))?, kind))
}

/// A name for the wire; longer ones would panic in the client library.
pub(super) fn short(name: String) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name).map_err(|_| {
        BrokerError::Refused(format!(
            "a queue name is longer than {} bytes",
            names::MAX_NAME_BYTES
        ))
    })
}

/// What is known of a connection.
#[derive(Debug, Clone)]
enum State {
    Down(String),
    Up(Arc<Live>),
    Closed,
}

/// A connection that repairs itself.
#[derive(Debug, Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
}

impl Link {
    /// The connection, waiting up to `wait` for it.
    pub(crate) async fn live(&self, wait: Duration) -> Result<Arc<Live>, BrokerError> {
        let mut state = self.state.clone();
        let found = async {
            loop {
                // Cloned so that the watch is not locked while waiting.
                let current = state.borrow_and_update().clone();
                match current {
                    State::Up(live) if live.is_connected() => return Ok(live),
                    State::Closed => return Err(BrokerError::Closed),
                    State::Up(_) | State::Down(_) => {}
                }
                if state.changed().await.is_err() {
                    return Err(BrokerError::Closed);
                }
            }
        };
        match tokio::time::timeout(wait, found).await {
            Ok(found) => found,
            Err(_) => Err(BrokerError::Unavailable(self.reason())),
        }
    }

    /// The connection if it works now.
    pub(crate) fn now(&self) -> Option<Arc<Live>> {
        match &*self.state.borrow() {
            State::Up(live) if live.is_connected() => Some(live.clone()),
            State::Up(_) | State::Down(_) | State::Closed => None,
        }
    }

    fn reason(&self) -> String {
        match &*self.state.borrow() {
            State::Down(reason) => reason.clone(),
            State::Up(_) => "the connection was lost".into(),
            State::Closed => "the connection is closed".into(),
        }
    }
}

/// Prepares a connection for `role`. The future keeps it alive until `closed`; it must be spawned.
pub(super) fn link(
    role: &'static str,
    config: &RabbitConfig,
    uri: AMQPUri,
    closed: CancellationToken,
) -> (Link, impl Future<Output = ()> + Send + 'static) {
    let (sender, receiver) = watch::channel(State::Down("not connected yet".into()));
    let keeper = Keeper {
        role,
        uri,
        name: format!("{} {role}", config.name),
        prefix: config.prefix.clone(),
        timeout: config.connection_timeout,
        closed,
        state: sender,
    };
    (Link { state: receiver }, keeper.run())
}

struct Keeper {
    role: &'static str,
    uri: AMQPUri,
    name: String,
    prefix: String,
    timeout: Duration,
    closed: CancellationToken,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(self) {
        let mut backoff = reattach::backoff();
        while !self.closed.is_cancelled() {
            let connected = tokio::select! {
                () = self.closed.cancelled() => break,
                connected = self.connect() => connected,
            };
            match connected {
                Ok(live) => {
                    let since = Instant::now();
                    tracing::info!(role = self.role, "connected to the message broker");
                    self.watch(&live).await;
                    live.abandoned.cancel();
                    if self.closed.is_cancelled() {
                        self.say_goodbye(&live).await;
                        break;
                    }
                    tracing::warn!(
                        role = self.role,
                        "lost the connection to the message broker; connecting again"
                    );
                    self.state
                        .send_replace(State::Down("the connection was lost".into()));
                    if since.elapsed() >= STABLE {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    tracing::warn!(role = self.role, %error, "cannot connect to the message broker; trying again");
                    self.state.send_replace(State::Down(error.to_string()));
                }
            }
            if !backoff.pause(&self.closed).await {
                break;
            }
        }
        self.state.send_replace(State::Closed);
    }

    async fn connect(&self) -> Result<Arc<Live>, BrokerError> {
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.clone().into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connection = tokio::time::timeout(self.timeout, connecting)
            .await
            .map_err(|_| BrokerError::Unavailable("connecting took too long".into()))?
            .map_err(|error| unavailable(&error))?;
        Ok(Arc::new(Live::new(connection, &self.prefix)?))
    }

    /// Publishes the connection and returns when it is lost or the broker is closed.
    async fn watch(&self, live: &Arc<Live>) {
        let mut events = pin!(live.connection.events_listener());
        // Whatever happened before the listener was there shows in the status.
        live.blocked.send_replace(live.is_blocked());
        self.state.send_replace(State::Up(live.clone()));
        while live.is_connected() {
            let event = tokio::select! {
                () = self.closed.cancelled() => return,
                () = live.abandoned.cancelled() => {
                    tracing::warn!(role = self.role, "the message broker does not answer; giving up the connection");
                    return;
                }
                event = events.next() => event,
                () = tokio::time::sleep(LOOK_EVERY) => continue,
            };
            match event {
                None => return,
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(
                        role = self.role,
                        reason,
                        "the message broker blocks publishing; messages wait"
                    );
                    live.blocked.send_replace(true);
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!(
                        role = self.role,
                        "the message broker allows publishing again"
                    );
                    live.blocked.send_replace(false);
                }
                // An error may be a channel's alone: the loop's condition tells.
                Some(_) => {}
            }
        }
    }

    async fn say_goodbye(&self, live: &Live) {
        let close = live.connection.close(200, "closed".into());
        match tokio::time::timeout(GOODBYE, close).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(role = self.role, %error, "closing the connection failed")
            }
            Err(_) => tracing::debug!(role = self.role, "closing the connection took too long"),
        }
    }
}
