//! What queues and exchanges are called, and the one place that says what a queue is like: its
//! bounds, its delivery limit and where its dead letters go. Both implementations read it.
//!
//! What does not live here: how a broker is told (see the implementations).

use uuid::Uuid;

use crate::{Queue, Topic};

/// The most bytes that a queue name may have on a broker that speaks AMQP.
pub const MAX_NAME_BYTES: usize = 255;

/// The most bytes of a deployment's prefix.
pub const MAX_PREFIX_BYTES: usize = 64;

/// The most bytes of one message: what RabbitMQ takes by default. A larger one would cost a channel
/// with everything else on it.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How often a message may go back to its queue before the queue gives it up. A backstop only:
/// brokers count differently by version, and a crash punishes every message that was prefetched
/// together.
pub const DELIVERY_LIMIT: u32 = 100;

/// What stands for "no delivery limit" on the queues of dead letters. They have nowhere to send a
/// message that they give up, and a broker that is told nothing may apply a small default of its
/// own.
const NO_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// The most ready messages of one queue.
const MAX_MESSAGES: u64 = 1_000_000;

/// The most bytes of ready message bodies of one queue.
const MAX_BYTES: u64 = 1 << 30;

/// What a queue is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueArguments {
    /// Where messages go that are rejected or returned too often; `None` drops them.
    pub dead_letters: Option<Queue>,
    /// How often a message may be returned to the queue.
    pub delivery_limit: u32,
    /// The most ready messages; then publishes are refused.
    pub max_messages: u64,
    /// The most bytes of ready messages; then publishes are refused.
    pub max_bytes: u64,
}

/// The arguments of a queue. Whoever uses a queue first declares it with these, and nobody with
/// others.
pub fn queue_arguments(queue: &Queue) -> QueueArguments {
    let dead_letters = match queue {
        Queue::Pipe(_) => Some(Queue::DeadTasks),
        Queue::Reports(_) | Queue::Batch => Some(Queue::DeadSystem),
        Queue::DeadTasks | Queue::DeadSystem => None,
    };
    QueueArguments {
        delivery_limit: if dead_letters.is_some() {
            DELIVERY_LIMIT
        } else {
            NO_DELIVERY_LIMIT
        },
        dead_letters,
        max_messages: MAX_MESSAGES,
        max_bytes: MAX_BYTES,
    }
}

/// The name of a queue. User pipes and system queues have different stems, so no pipe name reaches
/// a system queue.
pub fn queue_name(prefix: &str, queue: &Queue) -> String {
    match queue {
        Queue::Pipe(name) => format!("{prefix}.p.{name}"),
        Queue::Reports(shard) => format!("{prefix}.s.reports.{shard}"),
        Queue::Batch => format!("{prefix}.s.batch"),
        Queue::DeadTasks => format!("{prefix}.s.dead-tasks"),
        Queue::DeadSystem => format!("{prefix}.s.dead-system"),
    }
}

/// The name of the exchange that carries a topic.
pub fn exchange_name(prefix: &str, topic: Topic) -> String {
    match topic {
        Topic::Control => format!("{prefix}.s.control"),
        Topic::Events => format!("{prefix}.s.events"),
    }
}

/// The name of the queue that marks an epoch.
pub fn epoch_name(prefix: &str, epoch: Uuid) -> String {
    format!("{prefix}.s.epoch.{epoch}")
}

/// The name of the queue that says which deployment a prefix belongs to.
pub fn deployment_name(prefix: &str) -> String {
    format!("{prefix}.s.deployment")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_queue_has_its_own_name() {
        let names = [
            (Queue::Pipe("export".into()), "hw.p.export"),
            (Queue::Reports(7), "hw.s.reports.7"),
            (Queue::Batch, "hw.s.batch"),
            (Queue::DeadTasks, "hw.s.dead-tasks"),
            (Queue::DeadSystem, "hw.s.dead-system"),
        ];
        for (queue, name) in names {
            assert_eq!(queue_name("hw", &queue), name);
        }
        assert_eq!(exchange_name("hw", Topic::Control), "hw.s.control");
        assert_eq!(exchange_name("hw", Topic::Events), "hw.s.events");
    }

    #[test]
    fn dead_letters_end_somewhere() {
        for queue in [Queue::Pipe("a".into()), Queue::Reports(0), Queue::Batch] {
            let target = queue_arguments(&queue)
                .dead_letters
                .expect("has dead letters");
            assert_eq!(queue_arguments(&target).dead_letters, None);
        }
        assert_eq!(
            queue_arguments(&Queue::Pipe("a".into())).dead_letters,
            Some(Queue::DeadTasks)
        );
        assert_eq!(
            queue_arguments(&Queue::Batch).dead_letters,
            Some(Queue::DeadSystem)
        );
    }

    proptest! {
        #[test]
        fn no_pipe_is_named_like_a_system_queue(name in "\\PC{1,40}", shard: u16) {
            let pipe = queue_name("hw", &Queue::Pipe(name));
            for queue in [Queue::Reports(shard), Queue::Batch, Queue::DeadTasks, Queue::DeadSystem] {
                prop_assert_ne!(&pipe, &queue_name("hw", &queue));
            }
            prop_assert!(!pipe.starts_with("hw.s."));
        }
    }
}
