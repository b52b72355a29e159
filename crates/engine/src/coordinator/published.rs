//! What the engine has published, and what happens to it next.

use std::sync::Arc;

use headway_broker::DeliveryTag;

use crate::confirm::{Confirmed, Delivered};
use crate::envelope::Envelope;
use crate::ledger::Settlement;
use crate::queue::Work;

/// What was published and confirmed.
pub(super) enum Published {
    /// Outcomes.
    Report(Confirmed<Vec<Settlement>>),
    /// Results for a pipe, whose outcomes may be reported now.
    Results(String, Delivered<Recorded>),
    /// Starts of items that may run now.
    Started(Confirmed<Vec<Work>>),
    /// A heartbeat.
    Heartbeat,
    /// A fence that came out of the pipe.
    Fence(DeliveryTag),
}

/// An outcome that waits for its result to be confirmed.
pub(super) struct Recorded {
    pub envelope: Arc<Envelope>,
    pub position: usize,
    pub settlement: Settlement,
}
