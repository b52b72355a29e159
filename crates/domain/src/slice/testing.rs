//! A job for the unit tests of this crate.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{job_slice::JobSlice, rows::Moment};
use crate::{
    jobs::{
        job::JobMeta,
        spec::{JobSpec, TaskSpec, Work},
    },
    values::{
        ids::{JobUid, PipeName},
        time::Micros,
    },
};

/// One second.
pub(crate) const SECOND: Micros = 1_000_000;

/// A moment with room for sixteen splits.
pub(crate) fn moment(now: Micros) -> Moment {
    Moment {
        now,
        epoch: 1,
        lease: SECOND,
        splits: 16,
        limited: false,
    }
}

/// A job of one task, just accepted, with changes to its spec.
pub(crate) fn job(now: Micros, change: impl FnOnce(&mut JobSpec)) -> JobSlice {
    let mut spec = JobSpec::new(Work::Task(TaskSpec {
        pipe: PipeName::new("p").unwrap(),
        task_type: "t".into(),
        payload: Vec::new(),
        content_type: String::new(),
        headers: BTreeMap::new(),
    }));
    change(&mut spec);
    let meta = JobMeta {
        key: 1,
        uid: JobUid(Uuid::from_u128(1)),
        name: "partitions/p/jobs/j".parse().unwrap(),
        shard: 0,
        spec,
        creator: String::new(),
        created: 0,
        version: 0,
    };
    JobSlice::create(Arc::new(meta), 100, moment(now))
}
