//! Callers that never hear of a commit: on SQLite, because they end right after it.

use std::{future::poll_fn, task::Poll};

use headway_store::{Store, StoreConfig, StoreError};
use tracing::instrument::WithSubscriber;

use crate::suite::{
    Fixture,
    lost_commits::{Commits, Ended},
};

/// A handle whose callers end after a commit.
pub(crate) struct Losing {
    pub store: Store,
    pub config: StoreConfig,
}

impl Losing {
    /// Functions, and parts of their lines, that commit on PostgreSQL alone.
    pub(crate) const NEVER_COMMITS: &[(&str, &str)] =
        &[("raise_event_offset", ""), ("insert_jobs", ".rows_alone(")];

    pub(crate) async fn start(f: &Fixture) -> Self {
        Self {
            store: f.another().await,
            config: f.config.clone(),
        }
    }

    /// Ends the call once it has committed this many more transactions.
    pub(crate) async fn call<T>(
        &self,
        skip: u32,
        commits: &Commits,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Ended<T> {
        let mut call = Box::pin(call.with_subscriber(commits.clone()));
        let after = usize::try_from(skip).unwrap() + 1;
        poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            match polled {
                _ if commits.places().len() >= after => Poll::Ready(Ended::Lost),
                Poll::Ready(answer) => Poll::Ready(Ended::Answered(answer)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
