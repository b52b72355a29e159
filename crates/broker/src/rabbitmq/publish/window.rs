//! One window on a channel of its own: all its messages are sent, then all their confirms are
//! awaited.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use tokio::sync::SemaphorePermit;

use super::super::failure::{is_declared_otherwise, unavailable};
use super::super::link::Live;
use super::super::shared::Inner;
use super::{Results, blocked};
use crate::{BrokerError, Outgoing};

/// A window that waits longer for its confirms is held up by a queue, and gives its turn to the
/// next one.
const HELD_UP: Duration = Duration::from_millis(250);

/// How long what was sent before the broker blocked the connection may still be confirmed.
const BLOCKED_GRACE: Duration = Duration::from_secs(5);

/// The delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// What became of one message of a window.
enum Outcome {
    /// No confirm came in time.
    Unknown,
    /// The broker confirmed (`accepted`) or refused it, and handed over a returned message with
    /// that.
    Settled {
        accepted: bool,
        returned: Option<Returned>,
    },
    /// The channel failed.
    Failed(BrokerError),
}

/// A message that the broker returned: its position in the window, if it says so.
struct Returned(Option<usize>);

impl Outcome {
    fn of(confirmed: lapin::Result<Confirmation>, bytes: usize) -> Self {
        let confirmation = match confirmed {
            Ok(Confirmation::NotRequested) => {
                let reason = "the channel gives no confirms".into();
                return Self::Failed(BrokerError::Unavailable(reason));
            }
            Ok(confirmation) => confirmation,
            // Publishing to a queue by its name has no other precondition than the size of a
            // message.
            Err(error) if is_declared_otherwise(&error) => {
                return Self::Failed(BrokerError::TooLarge(bytes));
            }
            Err(error) => return Self::Failed(unavailable(&error)),
        };
        let accepted = confirmation.is_ack();
        let returned = confirmation.take_message().map(|message| {
            let id = message.properties.message_id().as_ref();
            Returned(id.and_then(|id| id.as_str().parse().ok()))
        });
        Self::Settled { accepted, returned }
    }
}

/// Sends one window on a channel of its own and waits for all its confirms.
pub(super) async fn send_window(
    inner: &Inner,
    live: &Live,
    messages: &[Outgoing],
    window: &[(usize, &ShortString)],
    results: &mut Results,
) {
    let fail = |results: &mut Results, error: BrokerError| {
        window
            .iter()
            .for_each(|(index, _)| results[*index] = Err(error.clone()));
    };
    // The semaphores are never closed.
    let Ok(turn) = inner.publishers.acquire().await else {
        return fail(results, BrokerError::Closed);
    };
    let lease = match live.confirms.lease(live.connection()).await {
        Ok(lease) => lease,
        Err(error) => return fail(results, error),
    };
    let mut sends: Vec<Send<_>> = Vec::with_capacity(window.len());
    for (position, (index, route)) in window.iter().enumerate() {
        // Returned messages are told apart by this id; confirms come in bulk and do not say which.
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(position.to_string().into());
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let body = &messages[*index].body;
        let publishing =
            lease
                .channel()
                .basic_publish("".into(), (*route).clone(), options, body, properties);
        sends.push(Send::start(publishing));
    }
    let mut outcomes: Vec<Outcome> = window.iter().map(|_| Outcome::Unknown).collect();
    let collect = async {
        let sent = sends.into_iter().zip(window).zip(&mut outcomes);
        for ((send, (index, _)), outcome) in sent {
            *outcome = Outcome::of(send.confirmed().await, messages[*index].body.len());
        }
    };
    let complete = tokio::select! {
        biased;
        () = collect => true,
        () = give_up(live, inner.config.confirm_timeout) => false,
        never = step_aside(inner, turn) => match never {},
    };
    let unconfirmed = match live.is_blocked() || !live.is_connected() {
        true => blocked(),
        false => BrokerError::Stalled("no confirm in time".into()),
    };
    let sound = record(window, messages, outcomes, &unconfirmed, results);
    if complete && sound {
        lease.keep();
    }
}

/// One message on its way. Sending begins when it is made, so a window is queued in its order and
/// as a whole; waiting for each message in turn wakes this task once for many confirms.
enum Send<F> {
    Sending(Pin<Box<F>>),
    Sent(lapin::Result<PublisherConfirm>),
}

impl<F: Future<Output = lapin::Result<PublisherConfirm>>> Send<F> {
    fn start(publishing: F) -> Self {
        let mut publishing = Box::pin(publishing);
        match publishing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(sent) => Self::Sent(sent),
            Poll::Pending => Self::Sending(publishing),
        }
    }

    async fn confirmed(self) -> lapin::Result<Confirmation> {
        let sent = match self {
            Self::Sending(publishing) => publishing.await,
            Self::Sent(sent) => sent,
        };
        sent?.await
    }
}

/// Lets the next window begin once this one is held up, so that a queue that does not answer costs
/// other queues nothing. Only this many windows step aside: each keeps a channel.
async fn step_aside(inner: &Inner, turn: SemaphorePermit<'_>) -> Infallible {
    tokio::time::sleep(HELD_UP).await;
    let _aside = inner.held_up.acquire().await;
    drop(turn);
    std::future::pending().await
}

/// Ends when no more confirms are worth waiting for.
async fn give_up(live: &Live, timeout: Duration) {
    tokio::select! {
        () = tokio::time::sleep(timeout) => {}
        () = async {
            live.blocked().await;
            tokio::time::sleep(BLOCKED_GRACE).await;
        } => {}
    }
}

/// Writes a window's outcomes into the results; `false` if the channel is not fit for use any more.
fn record(
    window: &[(usize, &ShortString)],
    messages: &[Outgoing],
    outcomes: Vec<Outcome>,
    unconfirmed: &BrokerError,
    results: &mut Results,
) -> bool {
    let mut sound = true;
    let mut returned = Vec::new();
    for (position, ((index, _), outcome)) in window.iter().zip(outcomes).enumerate() {
        results[*index] = match outcome {
            Outcome::Settled {
                accepted,
                returned: with,
            } => {
                returned.extend(with.map(|Returned(id)| id.unwrap_or(position)));
                match accepted {
                    true => Ok(()),
                    false => {
                        let reason = "not accepted, the queue may be full".into();
                        Err(BrokerError::Refused(reason))
                    }
                }
            }
            Outcome::Failed(error) => {
                sound = false;
                Err(error)
            }
            Outcome::Unknown => {
                sound = false;
                Err(unconfirmed.clone())
            }
        };
    }
    // A return comes before its message's confirm, but the client library hands it to whichever
    // confirm of the channel is settled next.
    for position in returned {
        if let Some((index, _)) = window.get(position) {
            let queue = format!("{:?}", messages[*index].queue);
            results[*index] = Err(BrokerError::Unroutable(queue));
        }
    }
    sound
}
