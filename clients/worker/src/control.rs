//! Listens to control broadcasts for as long as the worker runs.

use std::sync::Arc;
use std::time::Duration;

use headway::pipe::ControlMessage;
use headway_broker::{Broker, BrokerError, Outgoing, Subscription, Topic};
use prost::Message;
use tokio::sync::mpsc;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Subscribes, trying again until it succeeds.
///
/// # Errors
/// `Closed`, once the broker was closed on purpose.
pub async fn subscribe(broker: &dyn Broker) -> Result<Box<dyn Subscription>, BrokerError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match broker.subscribe(Topic::Control, &[]).await {
            Ok(subscription) => return Ok(subscription),
            Err(BrokerError::Closed) => return Err(BrokerError::Closed),
            Err(error) => {
                tracing::warn!(%error, "cannot subscribe to control messages; trying again")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Hands control messages to the engine until either side ends. When the channel is full this waits, and
/// the subscription's own buffer takes what comes. Whoever begins to listen, or may have missed a message, asks
/// for the states of the jobs that are held.
pub async fn listen(
    broker: Arc<dyn Broker>,
    first: Box<dyn Subscription>,
    messages: mpsc::Sender<ControlMessage>,
    question: Outgoing,
) {
    let mut subscription = first;
    ask(broker.as_ref(), &question).await;
    loop {
        match subscription.next().await {
            Ok(Some(body)) => match ControlMessage::decode(body) {
                Ok(message) => {
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot decode a control message; ignoring it")
                }
            },
            Ok(None) => {
                tracing::debug!(
                    "control messages may have been lost; asking for the paused and cancelled jobs"
                );
                ask(broker.as_ref(), &question).await;
            }
            Err(BrokerError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "lost the subscription to control messages; subscribing again");
                match subscribe(broker.as_ref()).await {
                    Ok(again) => {
                        subscription = again;
                        ask(broker.as_ref(), &question).await;
                    }
                    Err(_) => return,
                }
            }
        }
    }
}

/// Asks once: without an answer a job's items are run as their messages say, which costs work that tracking drops.
async fn ask(broker: &dyn Broker, question: &Outgoing) {
    for result in broker.publish(vec![question.clone()]).await {
        if let Err(error) = result {
            tracing::debug!(%error, "cannot ask for the paused and cancelled jobs; their items may run");
        }
    }
}
