//! What partitions may have: their weights and quotas.

mod quotas;
mod weights;

use headway::v1::{CreateJobRequest, JobSpec};
use headway_client::create_request;

fn of(partition: &str, id: &str, spec: JobSpec) -> CreateJobRequest {
    CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, spec)
    }
}
