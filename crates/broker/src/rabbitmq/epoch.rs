//! The mark that tells a broker's data from an emptied one: a durable queue that holds one message
//! and is only ever looked at.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use uuid::Uuid;

use super::declare;
use super::failure::exchange;
use super::link::short;
use super::shared::Inner;
use crate::{BrokerError, names};

/// How often an existing mark without its message is looked at before that is believed. A
/// replicated queue that changes its leader shows itself as empty for a moment.
const LOOKS: u32 = 5;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Plants the mark; planting it again changes nothing.
pub(super) async fn plant(inner: &Inner, epoch: Uuid) -> Result<(), BrokerError> {
    let name = short(names::epoch_name(&inner.config.prefix, epoch))?;
    if has(inner, epoch).await? {
        return Ok(());
    }
    let live = inner.publishing.live(inner.config.repair_wait).await?;
    declare::declare_durable(&live, name.clone(), declare::quorum()).await?;
    let lease = live.confirms.lease(live.connection()).await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let publishing = lease
        .channel()
        .basic_publish("".into(), name, options, b"", properties);
    let confirm = exchange(publishing).await?;
    match exchange(confirm).await? {
        Confirmation::Ack(None) => {
            lease.keep();
            Ok(())
        }
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
            Err(BrokerError::Unavailable("the mark was not accepted".into()))
        }
    }
}

/// Whether the mark is there, message and all.
pub(super) async fn has(inner: &Inner, epoch: Uuid) -> Result<bool, BrokerError> {
    let live = inner.administration().await?;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let name = short(names::epoch_name(&inner.config.prefix, epoch))?;
        match declare::look(&live, name).await? {
            None => return Ok(false),
            Some(depth) if depth.ready > 0 => return Ok(true),
            Some(_) => {}
        }
    }
    Ok(false)
}

/// Takes the mark away.
pub(super) async fn remove(inner: &Inner, epoch: Uuid) -> Result<(), BrokerError> {
    let live = inner.administration().await?;
    let name = short(names::epoch_name(&inner.config.prefix, epoch))?;
    declare::delete(&live, name).await
}
