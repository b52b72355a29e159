use super::*;

fn small(max_messages: u64, max_bytes: u64) -> QueueCore {
    let memory = Arc::new(PipeMemory::new(u64::MAX));
    let mut queue = QueueCore::new(&Queue::Batch, &memory);
    queue.arguments.max_messages = max_messages;
    queue.arguments.max_bytes = max_bytes;
    queue
}

fn push(queue: &QueueCore, bodies: &[&'static [u8]]) -> Vec<bool> {
    match queue.push(bodies.iter().map(|body| Bytes::from_static(body)).collect()) {
        Push::Done(results) => results.iter().map(Result::is_ok).collect(),
        Push::Deleted(_) => panic!("not deleted"),
    }
}

fn taken(take: Take) -> Vec<Message> {
    match take {
        Take::Some(messages) => messages,
        Take::Empty | Take::Deleted => Vec::new(),
    }
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_drained() {
    let queue = small(2, 1000);
    assert_eq!(push(&queue, &[b"a", b"b", b"c"]), [true, true, false]);
    assert_eq!(taken(queue.take(1)).len(), 1);
    assert_eq!(push(&queue, &[b"d", b"e"]), [true, false]);
}

#[test]
fn bytes_are_bounded_and_a_smaller_message_may_still_fit() {
    let queue = small(100, 10);
    assert_eq!(
        push(&queue, &[b"12345678", b"12345", b"12"]),
        [true, false, true]
    );
    queue.purge();
    assert_eq!(push(&queue, &[b"1234567890"]), [true]);
}

#[test]
fn a_consumer_takes_an_even_share_while_others_wait() {
    let queue = small(100, 1000);
    let waiting: Vec<_> = (0..3).map(|_| queue.take_or_wait(100)).collect();
    assert!(waiting.iter().all(Result::is_err));
    push(&queue, &[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]);
    assert_eq!(taken(queue.take(100)).len(), 2);
    drop(waiting);
    assert_eq!(taken(queue.take(100)).len(), 6);
}

#[test]
fn returned_messages_keep_their_order_and_count_their_returns() {
    let queue = small(100, 1000);
    push(&queue, &[b"a", b"b", b"c"]);
    let messages = taken(queue.take(2));
    assert!(queue.give_back(messages).is_empty());
    let again = taken(queue.take(3));
    let seen: Vec<_> = again
        .iter()
        .map(|message| (&message.body[..], message.returns))
        .collect();
    assert_eq!(seen, [(&b"a"[..], 1), (&b"b"[..], 1), (&b"c"[..], 0)]);
}

#[test]
fn the_delivery_limit_gives_a_message_up() {
    let queue = small(100, 1000);
    push(&queue, &[b"poison"]);
    for _ in 0..names::DELIVERY_LIMIT {
        assert!(queue.give_back(taken(queue.take(1))).is_empty());
    }
    assert_eq!(
        queue.give_back(taken(queue.take(1))),
        [Bytes::from_static(b"poison")]
    );
    assert_eq!(queue.depth().ready, 0);
}

#[test]
fn a_full_pipe_leaves_room_for_others() {
    let memory = Arc::new(PipeMemory::new(100));
    let pipe = |name: &str| QueueCore::new(&Queue::Pipe(name.into()), &memory);
    let (first, second) = (pipe("a"), pipe("b"));
    let fill = |queue: &QueueCore| {
        (0..1000)
            .take_while(|_| push(queue, &[b"0123456789"]) == [true])
            .count()
    };
    // Half of all, then about half of the rest.
    assert_eq!((fill(&first), fill(&second)), (5, 3));
    let taken = taken(first.take(3));
    assert_eq!(fill(&second), 1);
    assert!(first.give_back(taken).is_empty());
    first.purge();
    second.delete();
    assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    assert_eq!(fill(&first), 5);
}
