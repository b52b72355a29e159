//! Working on a pipe: an engine that consumes it and listens to control messages.

use headway_broker::{Broker, BrokerError, Consumer, Queue};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attach::until_attached;
use crate::control;
use crate::coordinator::{Engine, Settings};
use crate::error::WorkerError;
use crate::prefetch::Prefetch;
use crate::runner::Runner;

/// Control messages that may wait; see [`control::listen`].
const CONTROL_BUFFER: usize = 1024;

/// Runs the items of a pipe until `shutdown` is cancelled, then drains: running items may finish
/// and are reported, the rest is handed back. A broker that is away is waited for.
///
/// # Errors
/// When the broker was closed, or a task of the runner died.
pub async fn work(
    pipe: &str,
    settings: Settings,
    runner: impl Runner,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let broker = settings.broker.clone();
    let queue = Queue::Pipe(pipe.to_owned());
    let prefetch = Prefetch::new(settings.concurrency).current();
    // Listening begins before consuming: no status that is newer than a delivery is missed.
    let started = async {
        let subscription = control::subscribe(broker.as_ref()).await?;
        Ok::<_, BrokerError>((
            subscription,
            consume(broker.as_ref(), &queue, prefetch).await?,
        ))
    };
    let (subscription, consumer) = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = started => started?,
    };
    let (sender, controls) = mpsc::channel(CONTROL_BUFFER);
    let reporter = &settings.reporter;
    tracing::info!(pipe, worker = reporter.worker, session = %reporter.session, "the worker consumes its pipe");
    let question = reporter.question();
    let engine = Engine::new(settings, runner, consumer, controls);
    let listener = control::listen(broker.clone(), subscription, sender, question);
    let mut engine = std::pin::pin!(engine.run(shutdown));
    tokio::select! {
        result = engine.as_mut() => result,
        // The listener ends first only when the broker was closed, which the engine notices too.
        () = listener => engine.await,
    }
}

/// Starts to consume, trying again until it succeeds.
async fn consume(
    broker: &dyn Broker,
    queue: &Queue,
    prefetch: u16,
) -> Result<Box<dyn Consumer>, BrokerError> {
    until_attached(
        || broker.consume(queue, prefetch),
        |error| tracing::warn!(%error, "cannot consume the pipe; trying again"),
    )
    .await
}
