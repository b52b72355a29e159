//! What Headway remembers: jobs, their batches, pages and items, failures, the outbox, and who
//! holds which shard; on PostgreSQL or SQLite. The only user of sea-orm.
//!
//! [`Store`] is the whole interface: one method for each thing that a role does, each in one short
//! transaction. The rules live in `headway-domain`: a method loads a [`headway_domain::JobSlice`],
//! calls it, lets it advance, and writes back what changed.

mod batches;
mod db;
mod deployment;
mod error;
mod events;
mod ground;
mod job_types;
mod jobs;
mod outbox;
mod partitions;
mod pipes;
mod prerequisites;
mod reports;
mod retries;
mod schedules;
mod slice;
mod store;
mod watches;

pub use batches::{
    due::NextDue,
    repair::SilentJob,
    split_plan::{DispatchPlan, PageSource, PlannedItem, ReleasePlan, SplitPlan, SplitResult},
    split_retry::SplitRetry,
    tree::{BatchPage, BatchView},
    untaken::UnsettledJob,
};
pub use db::{
    StoreConfig, StoreUrl,
    clock::{SystemClock, TimeSource},
};
pub use deployment::unreadable::{Sorted, UnreadableRow};
pub use error::{StoreError, codes as error_codes};
pub use events::{
    Events,
    position::Position,
    read::{EventPage, EventQuery, UnreadableEvent},
    row::EventRow,
};
pub use ground::committed::{Change, Committed, Control};
pub use headway_domain::jobs::Sample;
pub use job_types::{JobTypePage, JobTypeView, JobTypes};
pub use jobs::{
    create::new_job::{Created, NewJob},
    explain::{Bounds, Explanation, LeaseCount, Since},
    failures::FailurePage,
    list::{
        filter::JobFilter,
        find::{FoundJobs, JobPage},
        order::JobPlace,
    },
    target::Target,
    view::{Controlled, JobView},
};
pub use outbox::message::{OutboxKind, OutboxMessage};
pub use partitions::{
    Partitions,
    quotas::PartitionUse,
    view::{PartitionPage, PartitionView, Suspension},
};
pub use pipes::{
    Pipes,
    credit::{HungryJob, PipeShare},
    dead_letters::{DeadLetterFilter, DeadLetterView},
    limits::PipeLimitView,
    list::{PipePage, PipeView},
};
pub use prerequisites::view::{PrerequisiteState, PrerequisiteView};
pub use reports::{apply::AppliedReports, shards::Claims};
pub use retries::{filter::FailureFilter, retry::Retry};
pub use schedules::{
    Schedules,
    fire::FiredSchedules,
    view::{ListedSchedule, SchedulePage, ScheduleView, UnreadableSchedule},
};
pub use slice::rows::failure::FailureRow;
pub use store::Store;
pub use watches::{partitions::ChangedPartitions, states::JobStates};
