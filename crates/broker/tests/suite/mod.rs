//! What every broker must do, run on each implementation by [`broker_suite`].
//!
//! Each test gets a broker of its own (or a queue prefix of its own on a shared one).

pub(crate) mod acknowledgements;
pub(crate) mod queues;
pub(crate) mod sharing;
pub(crate) mod topics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headway_broker::{Broker, Consumer, Delivery, DeliveryTag, Depth, Outgoing, Queue};

/// How long anything may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long to watch for something that must not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(400);

/// The mark that the suite plants.
pub(crate) const EPOCH: uuid::Uuid =
    uuid::Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);

/// The broker under test.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The handle that most tests use.
    pub broker: Arc<dyn Broker>,
    /// Another handle on the same queues, as another process would have.
    pub other: Arc<dyn Broker>,
}

/// The pipe that most tests use.
pub(crate) fn pipe() -> Queue {
    Queue::Pipe("a".into())
}

/// Bodies "0" to "count - 1".
pub(crate) fn numbered(queue: &Queue, numbers: std::ops::Range<u32>) -> Vec<Outgoing> {
    let message = |number: u32| Outgoing {
        queue: queue.clone(),
        body: Bytes::from(number.to_string()),
    };
    numbers.map(message).collect()
}

/// The number in a body.
pub(crate) fn number(body: &Bytes) -> u32 {
    std::str::from_utf8(body).unwrap().parse().unwrap()
}

/// The numbers of deliveries, in order.
pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries
        .iter()
        .map(|delivery| number(&delivery.body))
        .collect()
}

/// The tags of deliveries, in order.
pub(crate) fn tags(deliveries: &[Delivery]) -> Vec<DeliveryTag> {
    deliveries.iter().map(|delivery| delivery.tag).collect()
}

/// Publishes and expects every message to be confirmed.
pub(crate) async fn publish(broker: &dyn Broker, messages: Vec<Outgoing>) {
    for result in within(broker.publish(messages)).await {
        result.unwrap();
    }
}

/// Bounds what must happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("should not take so long")
}

/// Receives exactly `count` deliveries.
pub(crate) async fn receive(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let wanted = count - received.len();
        let batch = within(consumer.next(wanted)).await.unwrap();
        assert!(!batch.is_empty() && batch.len() <= wanted);
        received.extend(batch);
    }
    received
}

/// Expects that nothing is delivered for a while.
pub(crate) async fn expect_silence(consumer: &mut dyn Consumer) {
    if let Ok(delivered) = tokio::time::timeout(QUIET, consumer.next(100)).await {
        panic!("unexpected deliveries: {delivered:?}");
    }
}

/// Waits until a queue's depth is as expected: brokers count with a delay.
pub(crate) async fn wait_for_depth(broker: &dyn Broker, queue: &Queue, ready: u64, consumers: u64) {
    let expected = Depth { ready, consumers };
    let mut seen = Depth::default();
    for _ in 0..200 {
        seen = within(broker.depth(queue)).await.unwrap();
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{queue:?} has {seen:?}, expected {expected:?}");
}

/// Makes a test of every function of the suite. `$run` is given the function, starts a broker for
/// it and cleans up after it.
#[macro_export]
macro_rules! broker_suite {
    ($run:path) => {
        $crate::broker_suite!(@each $run, queues:
            publish_is_confirmed_and_consumed_in_order,
            results_come_in_the_order_of_the_messages,
            an_oversized_message_is_refused_alone,
            a_message_outlives_its_queue_being_deleted_under_the_publisher,
            prefetch_bounds_what_is_out,
            prefetch_can_be_changed_while_deliveries_are_out,
            a_new_prefetch_returns_nothing,
            a_stopped_consumer_keeps_what_it_has,
            a_cancelled_wait_loses_nothing,
            a_consumer_survives_its_queue_being_deleted,
            purge_drops_what_is_ready,
            an_unknown_queue_is_empty,
            the_epoch_is_remembered,
            a_closed_broker_says_so,
        );
        $crate::broker_suite!(@each $run, acknowledgements:
            acknowledged_messages_do_not_come_again,
            acknowledgements_behind_a_gap_take_effect,
            foreign_and_repeated_tags_are_ignored,
            messages_of_a_lost_consumer_come_again_marked,
            rejected_messages_are_requeued_and_marked,
            rejected_tasks_become_dead_letters,
            rejected_reports_become_system_dead_letters,
            the_delivery_limit_ends_in_dead_letters,
        );
        $crate::broker_suite!(@each $run, sharing:
            consumers_share,
            a_slow_consumer_does_not_keep_messages_from_others,
            many_publishers_and_consumers_lose_nothing,
        );
        $crate::broker_suite!(@each $run, topics:
            control_reaches_every_listener,
            events_reach_only_listeners_of_their_key,
            keys_can_be_changed,
            a_flood_does_not_block_the_sender_and_is_admitted_to,
        );
    };
    (@each $run:path, $module:ident: $($test:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $run(|fixture| Box::pin(suite::$module::$test(fixture))).await;
            }
        )+
    };
}
