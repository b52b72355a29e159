//! Which process does what one process must do alone.

use std::future;

use tokio::sync::watch;

/// Whether this process leads: it holds shard 0, and so does what one process must do alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lead(watch::Sender<bool>);

/// Waits for this process to become the leader.
pub(crate) struct Gained(watch::Receiver<bool>);

impl Lead {
    pub(crate) fn set(&self, leads: bool) {
        self.0
            .send_if_modified(|now| std::mem::replace(now, leads) != leads);
    }

    pub(crate) fn is_ours(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for what changes from now on.
    pub(crate) fn gained(&self) -> Gained {
        Gained(self.0.subscribe())
    }
}

impl Gained {
    /// Waits until this process has become the leader since the last time. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) {
        while self.0.changed().await.is_ok() {
            if *self.0.borrow_and_update() {
                return;
            }
        }
        future::pending().await
    }
}
