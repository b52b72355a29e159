//! Following the jobs of a partition.

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use headway::v1::{Job, RemovedJob, WatchJobsRequest, WatchJobsResponse};
use tonic::Streaming;

use super::{Items, Source, Taken, follow};
use crate::{Client, Error};

/// What changed among the jobs of a partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobsUpdate {
    /// The newest states of jobs that match, each newer than what was passed on of it before.
    pub jobs: Vec<Job>,
    /// Jobs that were deleted, or do not match any more.
    pub removed: Vec<RemovedJob>,
    /// A listing begins with this update: what was passed on before is void.
    pub listing_begins: bool,
    /// With this update everything was passed on that there is.
    pub listing_complete: bool,
    /// With `listing_complete`, if `max_listed` cut the listing: the page token for
    /// [`Client::list_jobs`] with the same filter.
    pub next_page_token: String,
}

/// The jobs of a partition: a listing, then what changes. Of each job the revisions rise strictly,
/// also across lost connections, for which it remembers about 100 bytes a job.
///
/// Connects again, and fails, as [`Watch`](super::Watch) does; it has no end of its own.
pub struct JobsWatch(Items<JobsUpdate>);

impl JobsWatch {
    pub(crate) fn new(client: Client, request: WatchJobsRequest) -> Self {
        let revisions = HashMap::new();
        Self(follow(client, Jobs { request, revisions }))
    }
}

impl Stream for JobsWatch {
    type Item = Result<JobsUpdate, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for JobsWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobsWatch").finish_non_exhaustive()
    }
}

struct Jobs {
    request: WatchJobsRequest,
    /// The revision that was passed on last, by uid.
    revisions: HashMap<String, i64>,
}

impl Source for Jobs {
    type Message = WatchJobsResponse;
    type Item = JobsUpdate;

    fn name(&self) -> &str {
        &self.request.parent
    }

    async fn open(&self, client: &Client) -> Result<Streaming<WatchJobsResponse>, Error> {
        client.open_jobs_watch(self.request.clone()).await
    }

    fn take(&mut self, response: WatchJobsResponse) -> Taken<JobsUpdate> {
        if !response.resume_token.is_empty() {
            self.request.resume_token = response.resume_token;
        }
        if response.listing_begins {
            self.revisions.clear();
        }
        let mut update = JobsUpdate {
            jobs: Vec::with_capacity(response.jobs.len()),
            removed: response.removed,
            listing_begins: response.listing_begins,
            listing_complete: response.listing_complete,
            next_page_token: response.next_page_token,
        };
        for gone in &update.removed {
            self.revisions.remove(&gone.uid);
        }
        for job in response.jobs {
            let shown = self.revisions.get(&job.uid);
            if shown.is_some_and(|shown| *shown >= job.revision) {
                continue;
            }
            self.revisions.insert(job.uid.clone(), job.revision);
            update.jobs.push(job);
        }
        let nothing = update.jobs.is_empty() && update.removed.is_empty();
        match nothing && !update.listing_begins && !update.listing_complete {
            true => Taken::Nothing,
            false => Taken::Next(update),
        }
    }
}
