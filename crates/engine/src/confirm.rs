//! Publishing until the broker has confirmed, and the proof of it.
//!
//! A [`Confirmed`] can be made nowhere else, and the ledger asks for one before it lets go of a
//! delivery's tag: an acknowledgement before the confirm does not compile.

use std::time::Duration;

use headway_broker::{Broker, BrokerError, Outgoing};
use headway_retry::Backoff;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Proof that the broker took responsibility for what says `T`.
#[derive(Debug)]
pub(crate) struct Confirmed<T>(T);

impl<T> Confirmed<T> {
    /// What was confirmed.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// Publishes messages, and publishes again until each is confirmed. They may arrive more than
/// once.
///
/// # Errors
/// `Closed`, once the broker was closed on purpose: nothing will be confirmed any more.
pub(crate) async fn publish<T>(
    broker: &dyn Broker,
    messages: Vec<Outgoing>,
    about: T,
) -> Result<Confirmed<T>, BrokerError> {
    let mut left = messages;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !left.is_empty() {
        let results = broker.publish(left.clone()).await;
        let mut unconfirmed = Vec::new();
        let mut last_error = None;
        let mut results = results.into_iter();
        for message in left {
            match results.next() {
                Some(Ok(())) => {}
                Some(Err(BrokerError::Closed)) => return Err(BrokerError::Closed),
                Some(Err(error)) => {
                    last_error = Some(error);
                    unconfirmed.push(message);
                }
                // No answer is no confirm.
                None => unconfirmed.push(message),
            }
        }
        left = unconfirmed;
        if left.is_empty() {
            break;
        }
        let error = last_error
            .map(|error| error.to_string())
            .unwrap_or_default();
        tracing::warn!(
            messages = left.len(),
            error,
            "the broker did not confirm reports; publishing them again"
        );
        tokio::time::sleep(backoff.next()).await;
    }
    Ok(Confirmed(about))
}

/// What became of results.
#[derive(Debug)]
pub(crate) struct Delivered<T> {
    /// What says those that the broker took.
    pub confirmed: Vec<T>,
    /// What says those that their pipe does not take, and why.
    pub undelivered: Vec<(T, BrokerError)>,
}

/// Publishes results, each with what says it. What its pipe refuses is tried again for `patience`;
/// while the whole broker is away everything waits.
///
/// # Errors
/// `Closed`, once the broker was closed on purpose.
pub(crate) async fn deliver<T>(
    broker: &dyn Broker,
    results: Vec<(Outgoing, T)>,
    patience: Duration,
) -> Result<Delivered<T>, BrokerError> {
    let begun = Instant::now();
    let mut delivered = Delivered {
        confirmed: Vec::with_capacity(results.len()),
        undelivered: Vec::new(),
    };
    let mut left = results;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !left.is_empty() {
        let messages = left.iter().map(|(message, _)| message.clone()).collect();
        let mut answers = broker.publish(messages).await.into_iter();
        let late = begun.elapsed() >= patience;
        let mut again = Vec::new();
        for (message, about) in left {
            match answers.next() {
                Some(Ok(())) => delivered.confirmed.push(about),
                Some(Err(BrokerError::Closed)) => return Err(BrokerError::Closed),
                Some(Err(error @ BrokerError::TooLarge(_))) => {
                    delivered.undelivered.push((about, error));
                }
                Some(Err(error)) if late && error.is_of_queue() => {
                    delivered.undelivered.push((about, error));
                }
                Some(Err(_)) | None => again.push((message, about)),
            }
        }
        left = again;
        if !left.is_empty() {
            tracing::warn!(
                results = left.len(),
                "the broker did not confirm results; publishing them again"
            );
            tokio::time::sleep(backoff.next()).await;
        }
    }
    Ok(delivered)
}

#[cfg(test)]
pub(crate) fn for_test<T>(about: T) -> Confirmed<T> {
    Confirmed(about)
}
