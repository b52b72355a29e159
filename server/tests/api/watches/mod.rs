//! Watches of a job, and of the jobs of a partition, from a client's side.

mod idle;
mod job;
mod jobs;
mod resuming;
pub(crate) mod stream;

use headway::v1;
use headway_server::ServerParts;
use tokio::time::Duration;

use crate::harness::{Harness, name};

fn never_repair(mut parts: ServerParts) -> ServerParts {
    parts.limits.repair_interval = Duration::from_secs(3600);
    parts
}

async fn control(harness: &Harness, id: &str) {
    let request = v1::PauseJobRequest {
        name: name(id),
        ..v1::PauseJobRequest::default()
    };
    harness.client.clone().pause_job(request).await.unwrap();
}

async fn delete(harness: &Harness, id: &str) {
    let request = v1::DeleteJobRequest {
        name: name(id),
        ..v1::DeleteJobRequest::default()
    };
    harness.client.clone().delete_job(request).await.unwrap();
}
