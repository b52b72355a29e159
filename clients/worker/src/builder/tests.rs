use headway_broker::InProcessBroker;

use super::*;

fn builder() -> WorkerBuilder {
    let handler = |_task| async { Ok::<_, TaskError>(Outcome::done()) };
    Worker::builder()
        .broker(Arc::new(InProcessBroker::new()))
        .pipe("a")
        .handler(handler)
}

#[test]
fn what_is_missing_or_out_of_bounds_is_named() {
    assert!(builder().build().is_ok());
    let zero = Duration::ZERO;
    let bad = [
        (builder().pipe("a/b"), BuildError::Pipe("a/b".into())),
        (builder().pipe(""), BuildError::Pipe(String::new())),
        (builder().concurrency(0), BuildError::Concurrency(0)),
        (
            builder().concurrency(70_000),
            BuildError::Concurrency(70_000),
        ),
        (
            builder().lease_after(zero),
            BuildError::Duration("lease_after"),
        ),
        (builder().heartbeat(zero), BuildError::Duration("heartbeat")),
        (Worker::builder().pipe("a"), BuildError::NoBroker),
        (
            Worker::builder().pipe("a").amqp("amqp://localhost", "hw"),
            BuildError::NoHandler,
        ),
    ];
    for (builder, expected) in bad {
        assert_eq!(builder.build().expect_err("is refused"), expected);
    }
}
