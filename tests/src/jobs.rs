//! Jobs that tests submit: mostly ranges of numbers, whose items are told apart by their number.

use headway::v1::{CreateJobRequest, Job, JobProgress, JobSpec, RetryPolicy};
use headway_client::{BatchBuilder, JobBuilder, JobName, create_request};
use serde_json::json;

/// The pipe that items enter first.
pub const WORK: &str = "work";
/// The pipe that they are forwarded to, where they are.
pub const SECOND: &str = "second";
/// Every pipe that a test may use: what is left in them is looked for, and they are deleted in the
/// end.
pub const PIPES: [&str; 3] = [WORK, SECOND, "results"];

/// The partition of all tests' jobs.
pub(crate) const PARTITION: &str = "default";

/// The name of a test's job.
///
/// # Panics
/// When the id is none.
pub fn name(id: &str) -> JobName {
    JobName::new(PARTITION, id).expect("the id of a job")
}

/// A request for a job with this id.
pub fn request(id: &str, spec: JobSpec) -> CreateJobRequest {
    CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(PARTITION, spec)
    }
}

/// The name of a job of the tests' partition, for prerequisites.
pub fn job_named(id: impl std::fmt::Display) -> String {
    format!("partitions/{PARTITION}/jobs/{id}")
}

/// Numbers from 0 up to this one, in pages of `page`, for the workers of [`WORK`].
pub fn numbers(to: u32, page: u32) -> BatchBuilder {
    BatchBuilder::new("range")
        .json(&json!({"from": 0, "to": to, "page": page}))
        .item(WORK, "number")
}

/// A job over [`numbers`] whose retries come quickly.
pub fn range(to: u32, page: u32) -> JobBuilder {
    let millis = |millis: i32| prost_types::Duration {
        seconds: 0,
        nanos: millis * 1_000_000,
    };
    JobBuilder::new(numbers(to, page)).retry_policy(RetryPolicy {
        initial_backoff: Some(millis(20)),
        max_backoff: Some(millis(200)),
        ..RetryPolicy::default()
    })
}

/// Known, done, failed and discarded items.
///
/// # Panics
/// When the counters contradict each other.
pub fn outcome_counts(job: &Job) -> [i64; 4] {
    let progress: JobProgress = job.progress.unwrap_or_default();
    let ended = progress.items_done + progress.items_failed + progress.items_discarded;
    assert_eq!(
        ended + progress.items_open,
        progress.items_known,
        "done, failed, discarded and open are all there is: {progress:?}"
    );
    [
        progress.items_known,
        progress.items_done,
        progress.items_failed,
        progress.items_discarded,
    ]
}
