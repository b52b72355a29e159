//! A client that watches the jobs of a partition, and what it knows.

use std::collections::BTreeMap;

use headway::v1::{self, JobState};
use tokio::time::timeout;
use tonic::Streaming;

use crate::harness::{Harness, PARENT, PATIENCE, name};

/// What a client knows after the messages it read.
pub(crate) struct Watch {
    pub stream: Streaming<v1::WatchJobsResponse>,
    pub jobs: BTreeMap<String, v1::Job>,
    pub token: String,
    pub next_page_token: String,
    /// Messages that were no bookmarks.
    pub told: usize,
    /// The names of all jobs that were said to be gone.
    pub gone: Vec<String>,
    pub bookmarks: usize,
}

pub(crate) fn all() -> v1::WatchJobsRequest {
    v1::WatchJobsRequest {
        parent: PARENT.to_owned(),
        min_interval: Some(prost_types::Duration::default()),
        ..v1::WatchJobsRequest::default()
    }
}

pub(crate) fn only(states: &[JobState]) -> v1::WatchJobsRequest {
    let names = states.iter().map(|state| {
        let name = state.as_str_name();
        name.trim_start_matches("JOB_STATE_")
    });
    let names: Vec<_> = names.collect();
    v1::WatchJobsRequest {
        filter: format!("state = ({})", names.join(" OR ")),
        ..all()
    }
}

impl Watch {
    pub(crate) async fn open(harness: &Harness, request: v1::WatchJobsRequest) -> Self {
        let stream = harness.client.clone().watch_jobs(request).await;
        Self {
            stream: stream.unwrap().into_inner(),
            jobs: BTreeMap::new(),
            token: String::new(),
            next_page_token: String::new(),
            told: 0,
            gone: Vec::new(),
            bookmarks: 0,
        }
    }

    /// A new stream that is complete.
    pub(crate) async fn listed(harness: &Harness, request: v1::WatchJobsRequest) -> Self {
        let mut watch = Self::open(harness, request).await;
        watch.complete().await;
        watch
    }

    /// Reads on to the end of the listing, or of what was missed.
    pub(crate) async fn complete(&mut self) {
        while !self.read().await.listing_complete {}
    }

    pub(crate) async fn read(&mut self) -> v1::WatchJobsResponse {
        let message = timeout(PATIENCE, self.stream.message()).await.unwrap();
        let message = message.unwrap().expect("such a stream has no end");
        if message.listing_begins {
            self.jobs.clear();
        }
        for job in &message.jobs {
            let before = self.jobs.insert(job.name.clone(), job.clone());
            let before = before.filter(|before| before.uid == job.uid);
            if let Some(before) = before {
                assert!(before.revision < job.revision, "revisions strictly rise");
            }
        }
        for gone in &message.removed {
            self.gone.push(gone.name.clone());
            self.jobs.remove(&gone.name);
        }
        let quiet = message.jobs.is_empty() && message.removed.is_empty();
        match quiet && !message.listing_begins && !message.listing_complete {
            true => self.bookmarks += 1,
            false => self.told += 1,
        }
        if !message.resume_token.is_empty() {
            self.token.clone_from(&message.resume_token);
        }
        if message.listing_complete {
            self.next_page_token.clone_from(&message.next_page_token);
        }
        message
    }

    /// Reads until what is known is so.
    pub(crate) async fn until(&mut self, known: impl Fn(&BTreeMap<String, v1::Job>) -> bool) {
        while !known(&self.jobs) {
            self.read().await;
        }
    }

    pub(crate) async fn until_state(&mut self, id: &str, state: JobState) {
        let name = name(id);
        self.until(|jobs| jobs.get(&name).is_some_and(|job| job.state() == state))
            .await;
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        let names = self.jobs.keys();
        names.filter_map(|name| name.rsplit('/').next()).collect()
    }
}
