//! A job's state as watchers are shown it: read once, converted once, whoever and however many watch.

use std::{ops::Deref, sync::OnceLock, time::Duration};

use bytes::Bytes;
use headway_store::JobView;
use tokio::time::Instant;

/// A state, and its encoded message once somebody was shown it.
#[derive(Debug)]
pub(crate) struct ShownState {
    view: JobView,
    made: Instant,
    encoded: OnceLock<Bytes>,
}

/// For so long rates and estimates, which depend on the time of the conversion, may be shown to new watchers.
const FRESH: Duration = Duration::from_secs(1);

impl ShownState {
    /// Whether its rates and estimates are still worth showing.
    pub(super) fn is_fresh(&self) -> bool {
        self.made.elapsed() < FRESH
    }

    /// The encoded message, which is the same for all watchers; made by `encode` the first time.
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
