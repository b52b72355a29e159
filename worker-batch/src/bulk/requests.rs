//! What jobs over jobs ask for, read from their own rows: a message in the pipe could claim
//! anything, and whoever may send messages to it could act under another name.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use headway_domain::{
    Error, JobName, JobUid,
    events::Caller,
    jobs::{
        JobSpec, Work,
        bulk::{ACTION_HEADER, BulkAction, CORRELATION_HEADER, USER_HEADER},
    },
};
use headway_relay::Relay;
use headway_store::StoreError;

/// Requests that are cached; then all are forgotten.
const CACHED: usize = 100;

/// What a job over jobs asks for.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// What is done to each job.
    pub action: BulkAction,
    /// Who asked.
    pub caller: Caller,
}

/// Requests by the uids of their jobs: a name may stand for another job by now, which asks for
/// something else.
#[derive(Debug, Default)]
pub(super) struct Requests {
    cached: Mutex<HashMap<JobUid, Request>>,
}

impl Requests {
    /// What the job with this name and this uid asks for; `None` if it is gone or is not about
    /// other jobs.
    pub(super) async fn of(
        &self,
        relay: &Relay,
        job: &JobName,
        uid: JobUid,
    ) -> Result<Option<Request>, StoreError> {
        if let Some(request) = self.lock().get(&uid) {
            return Ok(Some(request.clone()));
        }
        let view = match relay.store().job(job).await {
            Ok(view) if view.job.meta.uid == uid => view,
            // It was deleted, and another one has its name.
            Ok(_) => return Ok(None),
            Err(StoreError::Domain(Error::JobNotFound(_))) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(request) = read(&view.job.meta.spec) else {
            return Ok(None);
        };
        let mut cached = self.lock();
        if cached.len() >= CACHED {
            cached.clear();
        }
        cached.insert(uid, request.clone());
        Ok(Some(request))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobUid, Request>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(spec: &JobSpec) -> Option<Request> {
    if !spec.is_bulk() {
        return None;
    }
    let Work::Batch(batch) = &spec.work else {
        return None;
    };
    let header = |key: &str| batch.headers.get(key).cloned().unwrap_or_default();
    Some(Request {
        action: header(ACTION_HEADER).parse().ok()?,
        caller: Caller {
            user: header(USER_HEADER),
            correlation: header(CORRELATION_HEADER),
        },
    })
}
