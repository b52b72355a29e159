//! Whether the broker still has its data: a durable mark, named in the database, that a broker
//! which lost its queues cannot show.

use headway_broker::BrokerError;
use headway_store::StoreError;
use uuid::Uuid;

use super::relay::Relay;

/// Why the epoch could not be checked; trying again helps where the cause passes.
#[derive(Debug)]
pub enum EpochError {
    /// The database.
    Store(StoreError),
    /// The broker.
    Broker(BrokerError),
    /// The queues belong to another deployment now.
    Taken(String),
}

impl std::fmt::Display for EpochError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Broker(error) => error.fmt(f),
            Self::Taken(other) => write!(
                f,
                "the queues belong to another deployment ({other}); set another prefix for one of the two"
            ),
        }
    }
}

impl std::error::Error for EpochError {}

impl From<StoreError> for EpochError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<BrokerError> for EpochError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Relay {
    /// Checks the broker's mark and begins a new epoch if it is missing; whether it was. Every role
    /// calls this before it publishes anything, and tracking again every few seconds.
    ///
    /// # Errors
    /// When the database or the broker does not answer: nothing is concluded then.
    pub async fn check_epoch(&self) -> Result<bool, EpochError> {
        let seen = self.store().epoch_mark().await?;
        if let Some(mark) = seen
            && self.broker().has_epoch(mark).await?
        {
            return Ok(false);
        }
        // A broker that lost its data forgot whose queues these are.
        if let Some(other) = self
            .broker()
            .claim_prefix(self.store().deployment())
            .await?
        {
            return Err(EpochError::Taken(other));
        }
        // Planted before anybody can read of it, or whoever looks meanwhile would find it missing
        // and begin another.
        let planted = Uuid::new_v4();
        self.broker().plant_epoch(planted).await?;
        let mark = self.store().begin_epoch(seen, planted).await?;
        if mark != planted {
            // Another process was faster; its mark counts.
            self.broker().remove_epoch(planted).await?;
            return Ok(true);
        }
        if seen.is_some() {
            tracing::warn!("the message broker lost its data; releasing its items again");
        }
        Ok(true)
    }
}
