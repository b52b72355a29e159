//! Declaring queues as [`crate::names`] says, and looking at them.
//!
//! Every queue is a quorum queue, durable, with its limits spelled out, since defaults differ by
//! version.

use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::failure::{bounded, is_declared_otherwise, is_not_found, unavailable};
use super::link::{Live, short};
use crate::names::{self, QueueArguments};
use crate::{BrokerError, Depth, Queue};

/// How long to wait before a queue that was deleted is declared again. A consumer whose queue is
/// deleted is cancelled by the broker, unless a queue of that name is there again by then: in that
/// case the broker moves the consumer by itself, and a quorum queue's consumer gets no deliveries
/// after such a move (seen on 3.10).
pub(super) const PAUSE_BEFORE_REBIRTH: Duration = Duration::from_millis(500);

/// Declares a queue and the queue of its dead letters, which must be there first: a message that
/// finds no dead letter queue would stay behind in its own.
pub(super) async fn declare(live: &Live, prefix: &str, queue: &Queue) -> Result<(), BrokerError> {
    live.while_up(async {
        if let Some(target) = names::queue_arguments(queue).dead_letters {
            declare_one(live, prefix, &target).await?;
        }
        declare_one(live, prefix, queue).await
    })
    .await
}

async fn declare_one(live: &Live, prefix: &str, queue: &Queue) -> Result<(), BrokerError> {
    let name = short(names::queue_name(prefix, queue))?;
    let arguments = table(prefix, &names::queue_arguments(queue));
    declare_durable(live, name, arguments).await
}

/// Declares a durable queue. One that exists with other arguments (made by another version, or by
/// an operator) is used as it is: messages are safe in it, and refusing it would stop everything.
pub(super) async fn declare_durable(
    live: &Live,
    name: ShortString,
    arguments: FieldTable,
) -> Result<(), BrokerError> {
    let lease = live.plain.lease(live.connection()).await?;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = bounded(
        lease
            .channel()
            .queue_declare(name.clone(), options, arguments),
    )
    .await?;
    match declared {
        Ok(_) => {
            lease.keep();
            Ok(())
        }
        Err(error) if is_declared_otherwise(&error) => {
            tracing::warn!(queue = %name, "a queue exists with other arguments; using it as it is");
            Ok(())
        }
        Err(error) => Err(unavailable(&error)),
    }
}

/// Looks at a queue without making it; `None` if there is none. The look has a channel of its own
/// because a failing one closes it.
pub(super) async fn look(live: &Live, name: ShortString) -> Result<Option<Depth>, BrokerError> {
    live.while_up(look_on(live, name)).await
}

async fn look_on(live: &Live, name: ShortString) -> Result<Option<Depth>, BrokerError> {
    let lease = live.plain.lease(live.connection()).await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    match bounded(
        lease
            .channel()
            .queue_declare(name, options, FieldTable::default()),
    )
    .await?
    {
        Ok(found) => {
            lease.keep();
            Ok(Some(Depth {
                ready: found.message_count().into(),
                consumers: found.consumer_count().into(),
            }))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Deletes a queue with its messages; one that is not there is no error.
pub(super) async fn delete(live: &Live, name: ShortString) -> Result<(), BrokerError> {
    let lease = live.plain.lease(live.connection()).await?;
    let deleting = lease
        .channel()
        .queue_delete(name, QueueDeleteOptions::default());
    match bounded(deleting).await? {
        Ok(_) => lease.keep(),
        Err(error) if is_not_found(&error) => {}
        Err(error) => return Err(unavailable(&error)),
    }
    Ok(())
}

/// The arguments of a quorum queue.
pub(super) fn quorum() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table
}

fn table(prefix: &str, arguments: &QueueArguments) -> FieldTable {
    let mut table = quorum();
    table.insert(
        "x-delivery-limit".into(),
        number(arguments.delivery_limit.into()),
    );
    table.insert("x-max-length".into(), number(arguments.max_messages));
    table.insert("x-max-length-bytes".into(), number(arguments.max_bytes));
    // Dead letters are moved at least once only where a full queue refuses instead of dropping.
    table.insert("x-overflow".into(), text("reject-publish"));
    if let Some(target) = &arguments.dead_letters {
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        table.insert("x-dead-letter-exchange".into(), text(""));
        table.insert(
            "x-dead-letter-routing-key".into(),
            text(&names::queue_name(prefix, target)),
        );
    }
    table
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_a_bounded_quorum_queue_with_dead_letters() {
        let table = table("hw", &names::queue_arguments(&Queue::Pipe("a".into())));
        let value = |key: &str| table.inner().get(key).cloned();
        assert_eq!(value("x-queue-type"), Some(text("quorum")));
        assert_eq!(value("x-delivery-limit"), Some(number(100)));
        assert_eq!(value("x-overflow"), Some(text("reject-publish")));
        assert_eq!(value("x-dead-letter-strategy"), Some(text("at-least-once")));
        assert_eq!(value("x-dead-letter-exchange"), Some(text("")));
        assert_eq!(
            value("x-dead-letter-routing-key"),
            Some(text("hw.s.dead-tasks"))
        );
    }

    #[test]
    fn the_queues_of_dead_letters_have_none() {
        let table = table("hw", &names::queue_arguments(&Queue::DeadSystem));
        assert!(!table.contains_key("x-dead-letter-exchange"));
        assert!(!table.contains_key("x-dead-letter-strategy"));
        assert!(table.contains_key("x-delivery-limit"));
    }
}
