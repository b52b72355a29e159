//! Channels kept for reuse. A lease has its channel to itself; a channel is given back only when
//! everything on it is settled, else it is closed with the lease, so that no late reply, confirm or
//! returned message reaches the next user.

use std::sync::{Mutex, PoisonError};

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind};

use super::failure::exchange;
use crate::BrokerError;

/// How many idle channels are kept.
const MAX_IDLE: usize = 16;

/// What a pool's channels are prepared for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Declaring, looking, purging, deleting.
    Plain,
    /// Publishing with confirms.
    Confirms,
    /// Publishing to these exchanges without confirms; they are declared when a channel opens.
    Topics(Vec<(ShortString, ExchangeKind)>),
}

/// Idle channels of one connection for one purpose.
#[derive(Debug)]
pub(super) struct ChannelPool {
    purpose: Purpose,
    idle: Mutex<Vec<Channel>>,
}

impl ChannelPool {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            idle: Mutex::default(),
        }
    }

    /// An idle channel, or a new one.
    pub(crate) async fn lease(&self, connection: &Connection) -> Result<Lease<'_>, BrokerError> {
        while let Some(channel) = self.take_idle() {
            if channel.status().connected() {
                return Ok(Lease {
                    pool: self,
                    channel,
                });
            }
        }
        let channel = exchange(connection.create_channel()).await?;
        match &self.purpose {
            Purpose::Plain => {}
            Purpose::Confirms => {
                exchange(channel.confirm_select(ConfirmSelectOptions::default())).await?;
            }
            Purpose::Topics(exchanges) => {
                for (name, kind) in exchanges {
                    declare_exchange(&channel, name, kind).await?;
                }
            }
        }
        Ok(Lease {
            pool: self,
            channel,
        })
    }

    fn take_idle(&self) -> Option<Channel> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

/// The use of one channel; dropped, it closes the channel.
pub(super) struct Lease<'a> {
    pool: &'a ChannelPool,
    channel: Channel,
}

impl Lease<'_> {
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Gives the channel back for the next user; everything on it is settled.
    pub(crate) fn keep(self) {
        let mut idle = self
            .pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(self.channel);
        }
    }
}

/// Declares the exchange of a topic.
pub(super) async fn declare_exchange(
    channel: &Channel,
    name: &ShortString,
    kind: &ExchangeKind,
) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    exchange(channel.exchange_declare(name.clone(), kind.clone(), options, FieldTable::default()))
        .await
}
