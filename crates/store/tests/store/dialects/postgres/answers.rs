//! Callers that never hear of a commit: on PostgreSQL, because the connection is cut before its
//! answer.

use headway_store::{Store, StoreConfig, StoreError};
use tracing::instrument::WithSubscriber;

use super::{outages::proxy_before, proxy::Proxy};
use crate::suite::{
    Fixture,
    lost_commits::{Commits, Ended},
};

/// A handle whose connections lose answers.
pub(crate) struct Losing {
    pub store: Store,
    pub config: StoreConfig,
    proxy: Proxy,
}

impl Losing {
    /// Functions, and parts of their lines, that commit on SQLite alone.
    pub(crate) const NEVER_COMMITS: &[(&str, &str)] = &[
        ("free_shards", ""),
        ("shrink", ""),
        ("insert_jobs", "tx.end("),
    ];

    pub(crate) async fn start(f: &Fixture) -> Self {
        let (proxy, config) = proxy_before(f).await;
        Self {
            store: Store::connect(&config).await.unwrap(),
            config,
            proxy,
        }
    }

    /// Cuts the connection before the answer to a change.
    pub(crate) async fn call<T>(
        &self,
        skip: u32,
        commits: &Commits,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Ended<T> {
        self.proxy.lose_change(skip).await;
        let answer = call.with_subscriber(commits.clone()).await;
        match self.proxy.lose_nothing().await {
            true => Ended::Answered(answer),
            false => Ended::Lost,
        }
    }
}
