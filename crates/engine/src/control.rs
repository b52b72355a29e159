//! Listens to control broadcasts for as long as the worker runs.

use std::sync::Arc;

use headway::wire::ControlMessage;
use headway_broker::{Broker, BrokerError, Outgoing, Subscription, Topic};
use prost::Message;
use tokio::sync::mpsc;

use crate::attach::until_attached;

/// Subscribes, trying again until it succeeds.
///
/// # Errors
/// `Closed`, once the broker was closed on purpose.
pub(crate) async fn subscribe(broker: &dyn Broker) -> Result<Box<dyn Subscription>, BrokerError> {
    until_attached(
        || broker.subscribe(Topic::Control, &[]),
        |error| tracing::warn!(%error, "cannot subscribe to control messages; trying again"),
    )
    .await
}

/// Hands control messages to the engine until either side ends. When the channel is full this
/// waits, and the subscription's own buffer takes what comes. Whoever begins to listen, or may have
/// missed a message, asks for the states of the jobs that are held.
pub(crate) async fn listen(
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

/// Asks once: without an answer a job's items are run as their messages say, which costs work that
/// tracking drops.
async fn ask(broker: &dyn Broker, question: &Outgoing) {
    for result in broker.publish(vec![question.clone()]).await {
        if let Err(error) = result {
            tracing::debug!(%error, "cannot ask for the paused and cancelled jobs; their items may run");
        }
    }
}
