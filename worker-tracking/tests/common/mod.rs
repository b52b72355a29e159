//! What several test programs of this crate create.

use std::collections::BTreeMap;

use headway_domain::{
    JobId, JobName, PartitionId, PipeName,
    jobs::{JobSpec, TaskSpec, Work},
};
use headway_store::NewJob;

/// The job `one` of the partition `acme`: a task for the pipe `work`.
pub(crate) fn task() -> NewJob {
    NewJob {
        name: JobName {
            partition: PartitionId::new("acme").unwrap(),
            job: JobId::new("one").unwrap(),
        },
        spec: JobSpec::new(Work::Task(TaskSpec {
            pipe: PipeName::new("work").unwrap(),
            task_type: "export".to_owned(),
            payload: Vec::new(),
            content_type: String::new(),
            headers: BTreeMap::new(),
        })),
        request_id: String::new(),
        creator: String::new(),
        correlation: String::new(),
        created: None,
    }
}
