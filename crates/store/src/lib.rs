//! What Headway remembers: jobs, their batches, pages and items, failures, the outbox, and who
//! holds which shard; on PostgreSQL or SQLite. The only user of sea-orm.
//!
//! [`Store`] is the whole interface: one method for each thing that a role does, each in one short
//! transaction. The rules live in `headway-domain`: a method loads a [`headway_domain::JobSlice`],
//! calls it, lets it advance, and writes back what changed.

mod db;
mod error;
mod ops;
mod rows;

pub use db::{
    StoreConfig, StoreUrl,
    clock::{SystemClock, TimeSource},
};
pub use error::{StoreError, codes as error_codes};
pub use ops::{
    changed_partitions::ChangedPartitions,
    control::Controlled,
    create::{Created, NewJob},
    credit::{HungryJob, PartitionUse, PipeShare},
    dead::{DeadFilter, DeadLetterView},
    events::{EventPage, EventQuery, UnreadableEvent},
    explain::{Bounds, Explanation, LeaseCount, Since, SplitRetry},
    firing::Fired,
    job_types::{JobTypePage, JobTypeView},
    limits::PipeLimitView,
    list::{FoundJobs, JobFilter, JobPage, JobPlace, JobStates},
    outbox::{Owed, OwedKind},
    partitions::{PartitionPage, PartitionView, Suspension},
    pipes::{PipePage, PipeView},
    prerequisites::{PrerequisiteState, PrerequisiteView},
    read::{FailurePage, FailureRow, JobView},
    report::Tracked,
    retry::{FailureFilter, Retry},
    schedules::{ListedSchedule, SchedulePage, ScheduleView, UnreadableSchedule},
    shards::Claims,
    split::{DispatchPlan, PageSource, PlannedItem, ReleasePlan, SplitPlan, SplitResult},
    timers::{NextDue, SilentJob},
    tree::{BatchPage, BatchView},
    unreadable::{Sorted, UnreadableRow},
    untaken::UnsettledJob,
};

pub use headway_domain::history::Sample;
pub use rows::event::{EventRow, Position};

use std::sync::Arc;

/// A handle to the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Arc<db::Db>,
    creates: Arc<ops::create_group::Lanes>,
    free_pipes: Arc<ops::credit::FreePipes>,
    noted_pipes: Arc<ops::pipes::NotedPipes>,
    deployment: uuid::Uuid,
}

impl Store {
    /// Connects, and makes or completes the tables. Waits for other processes that do the same.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let db = db::Db::connect(config).await?;
        let shards = db.setting("shards", &db.shards.to_string()).await?;
        let shards = shards
            .parse()
            .map_err(|_| StoreError::Broken(format!("setting shards is {shards}, not a number")))?;
        let deployment = uuid::Uuid::new_v4().to_string();
        let deployment = db.setting("deployment", &deployment).await?;
        let deployment = uuid::Uuid::parse_str(&deployment)
            .map_err(|_| StoreError::Broken("setting deployment is no id".to_owned()))?;
        let mut db = db.with_shards(shards);
        db.settle_event_offset().await?;
        db.seed_shards().await?;
        if db.is_sqlite() {
            db.free_shards().await?;
        }
        // SQLite has one writer.
        let (first, more) = if db.is_sqlite() { (1, 0) } else { (2, 2) };
        Ok(Self {
            db: Arc::new(db),
            creates: Arc::new(ops::create_group::Lanes::new(first, more)),
            free_pipes: Arc::default(),
            noted_pipes: Arc::default(),
            deployment,
        })
    }

    /// The id of the deployment, made when its tables were. A database that is restored from a dump keeps it.
    pub fn deployment(&self) -> uuid::Uuid {
        self.deployment
    }

    /// Whether the database answers, and takes changes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.probe().await
    }

    /// Compares the database's clock with this process's; to be called every few seconds.
    pub async fn sync_clock(&self) -> Result<(), StoreError> {
        self.db.sync_clock().await
    }

    /// How many statements this handle and its clones have sent, but for those that begin and end transactions.
    pub fn statements(&self) -> u64 {
        self.db.statements()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

/// What a committed change means for others: to be published after the commit.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// Messages owed to the broker; they stand in the outbox until [`Store::outbox_sent`].
    pub owed: Vec<Owed>,
    /// Control broadcasts to workers.
    pub controls: Vec<Control>,
    /// Jobs that changed, for watchers.
    pub changes: Vec<Change>,
    /// Whether jobs are owed a look at their prerequisites: see [`Store::release_dependents`].
    pub releases: bool,
}

/// A control broadcast to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The job.
    pub uid: headway_domain::JobUid,
    /// The control counter of this status.
    pub control: u32,
    /// What to do.
    pub disposition: headway_domain::effect::Disposition,
}

/// A job that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The job.
    pub uid: headway_domain::JobUid,
    /// Its partition.
    pub partition: headway_domain::PartitionId,
    /// Its new revision.
    pub revision: i64,
    /// When it changed.
    pub time: headway_domain::Micros,
    /// Whether it was deleted.
    pub deleted: bool,
}

impl Committed {
    /// Joins what another transaction committed.
    pub fn merge(&mut self, mut other: Self) {
        self.owed.append(&mut other.owed);
        self.controls.append(&mut other.controls);
        self.changes.append(&mut other.changes);
        self.releases |= other.releases;
    }
}
