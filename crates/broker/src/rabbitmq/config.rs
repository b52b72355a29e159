//! How to reach RabbitMQ. The address carries a password, so it has a type that never prints.

use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPUri;

use crate::BrokerError;
use crate::names::MAX_PREFIX_BYTES;

/// The heartbeat asked for when the address names none, in seconds. The server's own default of 60
/// s leaves a dead peer unnoticed for too long.
const HEARTBEAT_SECONDS: u16 = 10;

/// The largest frame asked for when the address names none, in bytes. The client library holds two
/// buffers of 32 frames for each connection: 2 MiB with this, and 8 MiB with the 128 KiB that the
/// server offers.
const FRAME_BYTES: u32 = 32 * 1024;

/// An `amqp://` or `amqps://` address with credentials. Neither `Debug` nor any error prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(String);

impl AmqpUrl {
    /// Wraps an address. It is checked when a broker is made from it.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Reads the address.
    ///
    /// # Errors
    /// `Refused` with a sentence that does not repeat the address.
    pub(super) fn parse(&self) -> Result<AMQPUri, BrokerError> {
        // The parser's own message may quote what it read, credentials included.
        let mut uri: AMQPUri = self.0.parse().map_err(|_| {
            BrokerError::Refused("the broker's address is not an amqp or amqps url".into())
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_BYTES);
        Ok(uri)
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AmqpUrl(***)")
    }
}

impl From<&str> for AmqpUrl {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for AmqpUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

/// How to reach RabbitMQ and how long to wait for it. Start from [`RabbitConfig::new`].
#[derive(Debug, Clone)]
pub struct RabbitConfig {
    /// The broker's address.
    pub url: AmqpUrl,
    /// What every queue and exchange name begins with, 1 to 64 bytes; keeps deployments on one
    /// broker apart.
    pub prefix: String,
    /// What the connections are called in the broker's own listings.
    pub name: String,
    /// How long one try to connect may take.
    pub connection_timeout: Duration,
    /// How long an operation waits for a connection that is being repaired before it is
    /// `Unavailable`.
    pub repair_wait: Duration,
    /// How long a publish waits for confirms before the rest is `Unavailable` (it may have arrived
    /// all the same).
    pub confirm_timeout: Duration,
    /// A consumer that holds nothing and hears nothing for this long, up to twice, starts over on a
    /// new channel: a broker can lose a consumer without a word, as when its queue is deleted and
    /// declared again at once.
    pub idle_renewal: Duration,
    /// How many publishes run at once, each on its own channel, 1 to 64.
    pub publishing_channels: usize,
}

impl RabbitConfig {
    /// The defaults: 10 s to connect, 5 s for a repair, 30 s for confirms, 30 s of idleness, 4
    /// publishing channels.
    pub fn new(url: impl Into<AmqpUrl>, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: prefix.into(),
            name: "headway".into(),
            connection_timeout: Duration::from_secs(10),
            repair_wait: Duration::from_secs(5),
            confirm_timeout: Duration::from_secs(30),
            idle_renewal: Duration::from_secs(30),
            publishing_channels: 4,
        }
    }

    /// Checks the bounds.
    pub(super) fn validate(&self) -> Result<(), BrokerError> {
        let refuse = |what: &str| Err(BrokerError::Refused(what.into()));
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX_BYTES {
            return refuse("the queue prefix must have 1 to 64 bytes");
        }
        if self.publishing_channels == 0 || self.publishing_channels > 64 {
            return refuse("there must be 1 to 64 publishing channels");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_never_prints() {
        let secret = "amqp://someone:s3cret@host:5672/%2f";
        let config = RabbitConfig::new(secret, "hw");
        assert!(!format!("{config:?}").contains("s3cret"));
        let bad = AmqpUrl::new("http://someone:s3cret@host").parse();
        assert!(!format!("{bad:?}").contains("s3cret"));
        assert!(matches!(bad, Err(BrokerError::Refused(_))));
    }

    #[test]
    fn a_heartbeat_and_small_frames_are_asked_for_unless_the_address_names_others() {
        let asked = |url: &str| {
            let query = AmqpUrl::new(url).parse().map(|uri| uri.query);
            query.map(|query| (query.heartbeat, query.frame_max))
        };
        let ours = (Some(HEARTBEAT_SECONDS), Some(FRAME_BYTES));
        assert_eq!(asked("amqp://host"), Ok(ours));
        let others = (Some(3), Some(131_072));
        assert_eq!(
            asked("amqp://host?heartbeat=3&frame_max=131072"),
            Ok(others)
        );
    }

    #[test]
    fn bounds_are_checked() {
        assert!(RabbitConfig::new("amqp://host", "hw").validate().is_ok());
        assert!(RabbitConfig::new("amqp://host", "").validate().is_err());
        assert!(
            RabbitConfig::new("amqp://host", "x".repeat(65))
                .validate()
                .is_err()
        );
        let mut config = RabbitConfig::new("amqp://host", "hw");
        config.publishing_channels = 0;
        assert!(config.validate().is_err());
    }
}
