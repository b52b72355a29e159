//! The modules under the names by which the other crates import from them.

/// See [`crate::batches`].
pub mod bitmap {
    pub use crate::batches::Bitmap;
}

/// See [`crate::jobs::bulk`].
pub mod bulk {
    pub use crate::jobs::bulk::*;
}

/// See [`crate::slice`] and [`crate::reports`].
pub mod effect {
    pub use crate::{
        reports::{Failed, NewFailure, Subject, code},
        slice::{Disposition, Effect},
        values::text::clean,
    };
}

/// See [`crate::events`].
pub mod event {
    pub use crate::events::{Caller, EventKind, NewEvent, is_reserved};
}

/// See [`crate::jobs`].
pub mod history {
    pub use crate::jobs::Sample;
}

/// See [`crate::values::ids`].
pub mod ids {
    pub use crate::values::ids::*;
}

/// See [`crate::jobs`].
pub mod job {
    pub use crate::jobs::{Counts, Job, JobMeta, JobState, Phase};
}

/// See [`crate::jobs::lifecycle`].
pub mod lifecycle {
    pub use crate::jobs::lifecycle::*;
}

/// See [`crate::batches`].
pub mod page {
    pub use crate::batches::{Batch, Forward, Item, Lease, Page, PageContent, PageState, Todo};
}

/// See [`crate::jobs`].
pub mod progress {
    pub use crate::jobs::{MILLIONTHS, Rate, expected};
}

/// See [`crate::reports`].
pub mod report {
    pub use crate::reports::{Applied, ItemEvent, ItemReport, PageReport};
}

/// See [`crate::jobs`].
pub mod retention {
    pub use crate::jobs::{Expiry, GRAMMAR, Length, Retention, Since};
}

/// See [`crate::schedules`].
pub mod schedule {
    pub use crate::schedules::*;
}

/// See [`crate::pipes`] and [`crate::partitions`].
pub mod share {
    pub use crate::{
        partitions::PartitionShare,
        pipes::{Bucket, PipeLimits, Share},
    };
}

/// See [`crate::jobs`].
pub mod spec {
    pub use crate::{
        job_types::TypeUse,
        jobs::{BatchSpec, FailurePolicy, JobSpec, TaskSpec, Tolerance, Work, label_key},
        retries::RetryPolicy,
    };
}

/// See [`crate::batches`].
pub mod split {
    pub use crate::batches::{Child, Split, SplitOutcome};
}

/// See [`crate::jobs`] and [`crate::prerequisites`].
pub mod start {
    pub use crate::{
        jobs::{Deadline, Start},
        prerequisites::{BrokenPrerequisite, FirstFailure, OnPrerequisiteFailure, Prerequisite},
    };
}

/// See [`crate::schedules`].
pub mod timetable {
    pub use crate::schedules::{MAX_CRON_BYTES, Timetable};
}

/// See [`crate::jobs`].
pub mod update {
    pub use crate::jobs::JobUpdate;
}
