//! Publishing with confirms, a window at a time: all messages of a window are sent before any
//! confirm is awaited, and every confirm is awaited.

mod window;

use std::collections::HashMap;
use std::time::Duration;

use lapin::types::ShortString;

use self::window::send_window;
use super::declare;
use super::link::{Live, short};
use super::shared::Inner;
use crate::names::MAX_MESSAGE_BYTES;
use crate::{BrokerError, Outgoing, Queue, names};

/// The most messages of a window. Fewer than the 400 that RabbitMQ takes from a connection for a
/// channel that does not keep up: with more, a queue without a leader stops its channel, that the
/// connection, and so every publish (seen on 3.10).
const WINDOW_MESSAGES: usize = 300;

/// The most bytes of a window, unless its one message is larger.
const WINDOW_BYTES: usize = 8 << 20;

/// A quorum queue that was just declared may refuse messages until it has elected its leader (seen
/// on 3.10): so often, and after so long at first, they are sent again.
const FRESH_TURNS: u32 = 5;
const FRESH_PAUSE: Duration = Duration::from_millis(20);

type Results = Vec<Result<(), BrokerError>>;

/// Publishes everything; one result a message, in order.
pub(super) async fn publish(inner: &Inner, messages: &[Outgoing]) -> Results {
    let mut results: Results = vec![Ok(()); messages.len()];
    let mut todo = Vec::with_capacity(messages.len());
    for (index, (message, result)) in messages.iter().zip(&mut results).enumerate() {
        if message.body.len() > MAX_MESSAGE_BYTES {
            *result = Err(BrokerError::TooLarge(message.body.len()));
        } else {
            todo.push(index);
        }
    }
    for turn in 0..=FRESH_TURNS {
        if todo.is_empty() {
            break;
        }
        if let Err(error) = publish_once(inner, messages, &todo, &mut results).await {
            for index in &todo {
                results[*index] = Err(error.clone());
            }
            break;
        }
        let mut pause = FRESH_PAUSE * 2_u32.pow(turn);
        todo.retain(|index| match &results[*index] {
            // What the broker returns because its queue is missing is tried once more with the
            // queue declared.
            Err(BrokerError::Unroutable(_)) => {
                inner.forget(&messages[*index].queue);
                pause = pause.max(declare::PAUSE_BEFORE_REBIRTH);
                turn == 0
            }
            Err(BrokerError::Refused(_)) => inner.is_fresh(&messages[*index].queue),
            _ => false,
        });
        if !todo.is_empty() && turn < FRESH_TURNS {
            tokio::time::sleep(pause).await;
        }
    }
    results
}

/// Sends the messages at `todo` once. `Err` means that none of them counts as sent.
async fn publish_once(
    inner: &Inner,
    messages: &[Outgoing],
    todo: &[usize],
    results: &mut Results,
) -> Result<(), BrokerError> {
    let live = inner.publishing.live(inner.config.repair_wait).await?;
    if live.is_blocked() {
        return Err(blocked());
    }
    tokio::select! {
        biased;
        () = publish_on(inner, &live, messages, todo, results) => Ok(()),
        // Nothing is known of what was sent, so all of it counts as not sent: twice is harmless.
        () = live.stuck() => {
            let reason = "the broker does not answer on this connection";
            Err(BrokerError::Unavailable(reason.into()))
        }
    }
}

/// Sends the messages at `todo` on this connection.
async fn publish_on(
    inner: &Inner,
    live: &Live,
    messages: &[Outgoing],
    todo: &[usize],
    results: &mut Results,
) {
    let routes = routes(inner, live, messages, todo).await;
    let mut ready = Vec::with_capacity(todo.len());
    for index in todo {
        match routes.get(&messages[*index].queue) {
            Some(Ok(route)) => ready.push((*index, route)),
            Some(Err(error)) => results[*index] = Err(error.clone()),
            None => {
                results[*index] = Err(BrokerError::Unroutable(format!(
                    "{:?}",
                    messages[*index].queue
                )))
            }
        }
    }
    let mut rest = ready.as_slice();
    while !rest.is_empty() {
        let (window, later) = rest.split_at(window_length(messages, rest));
        rest = later;
        send_halving(inner, live, messages, window, results).await;
    }
}

/// Sends one window. A broker that takes only small messages closes the channel over a larger one
/// without saying which it was, so such a window is halved until that message is alone.
async fn send_halving(
    inner: &Inner,
    live: &Live,
    messages: &[Outgoing],
    window: &[(usize, &ShortString)],
    results: &mut Results,
) {
    let mut windows = vec![window];
    while let Some(window) = windows.pop() {
        if live.is_blocked() {
            window
                .iter()
                .for_each(|(index, _)| results[*index] = Err(blocked()));
            continue;
        }
        send_window(inner, live, messages, window, results).await;
        let refused = |(index, _): &(usize, &ShortString)| {
            matches!(results[*index], Err(BrokerError::TooLarge(_)))
        };
        if window.len() > 1 && window.iter().any(refused) {
            let (first, second) = window.split_at(window.len() / 2);
            windows.extend([second, first]);
        }
    }
}

/// The wire name of each queue, declared.
async fn routes<'a>(
    inner: &Inner,
    live: &Live,
    messages: &'a [Outgoing],
    todo: &[usize],
) -> HashMap<&'a Queue, Result<ShortString, BrokerError>> {
    let mut routes = HashMap::new();
    for index in todo {
        let queue = &messages[*index].queue;
        if routes.contains_key(queue) {
            continue;
        }
        routes.insert(queue, route(inner, live, queue).await);
    }
    routes
}

async fn route(inner: &Inner, live: &Live, queue: &Queue) -> Result<ShortString, BrokerError> {
    let name = short(names::queue_name(&inner.config.prefix, queue))?;
    if !inner.is_declared(queue) {
        let declared = declare::declare(live, &inner.config.prefix, queue).await;
        declared.map_err(|error| match error {
            BrokerError::Unavailable(why) if live.is_connected() => BrokerError::Stalled(why),
            other => other,
        })?;
        inner.remember(queue);
    }
    Ok(name)
}

fn window_length(messages: &[Outgoing], rest: &[(usize, &ShortString)]) -> usize {
    let mut bytes = 0;
    let fits = |(index, _): &&(usize, &ShortString)| {
        bytes += messages[*index].body.len();
        bytes <= WINDOW_BYTES
    };
    rest.iter()
        .take(WINDOW_MESSAGES)
        .take_while(fits)
        .count()
        .max(1)
}

fn blocked() -> BrokerError {
    BrokerError::Unavailable("the broker takes no publishes now".into())
}
