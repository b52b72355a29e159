//! A job's state as watchers are shown it: read once, converted once, whoever and however many watch.

use std::{ops::Deref, sync::OnceLock};

use bytes::Bytes;
use headway_store::JobView;

/// A state, and its encoded message once somebody was shown it.
#[derive(Debug)]
pub(crate) struct ShownState {
    view: JobView,
    encoded: OnceLock<Bytes>,
}

impl ShownState {
    /// The encoded message, which is the same for all watchers; made by `encode` the first time.
    pub(crate) fn encoded(&self, encode: impl FnOnce(&JobView) -> Bytes) -> Bytes {
        self.encoded.get_or_init(|| encode(&self.view)).clone()
    }
}

impl From<JobView> for ShownState {
    fn from(view: JobView) -> Self {
        Self {
            view,
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
