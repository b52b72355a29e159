//! The state of a job as watchers see it: read once and converted once for all watchers.

use std::{ops::Deref, sync::OnceLock, time::Duration};

use bytes::Bytes;
use headway_store::JobView;
use tokio::time::Instant;

/// A state, and its encoded message once a watcher needed it.
#[derive(Debug)]
pub(crate) struct ShownState {
    view: JobView,
    made: Instant,
    encoded: OnceLock<Bytes>,
}

/// How long new watchers may see rates and estimates, which depend on the time of the conversion.
const FRESH: Duration = Duration::from_secs(1);

impl ShownState {
    /// Whether the rates and estimates are recent enough to show.
    pub(super) fn is_fresh(&self) -> bool {
        self.made.elapsed() < FRESH
    }

    /// The encoded message, the same for all watchers. `encode` makes it the first time.
    pub(crate) fn encoded(&self, encode: impl FnOnce(&JobView) -> Bytes) -> Bytes {
        self.encoded.get_or_init(|| encode(&self.view)).clone()
    }
}

impl From<JobView> for ShownState {
    fn from(view: JobView) -> Self {
        Self {
            view,
            made: Instant::now(),
            encoded: OnceLock::new(),
        }
    }
}

impl Deref for ShownState {
    type Target = JobView;

    fn deref(&self) -> &JobView {
        &self.view
    }
}
