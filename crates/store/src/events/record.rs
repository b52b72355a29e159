//! Changes by callers to what is no job, in the audit log: schedules, partitions, limits of pipes,
//! job types, dead letters.

use headway_domain::{
    JobId, PartitionId,
    events::{Caller, EventKind},
    limits,
    schedules::ScheduleName,
    values::text::clean,
};

use crate::{
    db::{Db, Tx},
    error::StoreError,
    ground::codes::Code,
};

/// The id that stands in the column of the job's where there is none.
const NO_JOB: &str = "-";

/// A change to be recorded in the transaction that makes it.
#[derive(Debug)]
pub(crate) struct AuditEntry<'a> {
    /// What was done.
    kind: EventKind,
    /// In whose log it stands.
    partition: &'a PartitionId,
    id: &'a str,
    /// The name of what was changed.
    subject: String,
    /// What the other fields do not say.
    message: String,
}

impl<'a> AuditEntry<'a> {
    /// Of a schedule.
    pub(crate) fn of_schedule(kind: EventKind, name: &'a ScheduleName) -> Self {
        Self {
            kind,
            partition: &name.partition,
            id: name.schedule.as_str(),
            subject: name.to_string(),
            message: String::new(),
        }
    }

    /// Of a partition as a whole.
    pub(crate) fn of_partition(
        kind: EventKind,
        partition: &'a PartitionId,
        message: String,
    ) -> Self {
        Self {
            kind,
            partition,
            id: NO_JOB,
            subject: format!("partitions/{partition}"),
            message,
        }
    }

    /// Of a job type, in the log of the deployment.
    pub(crate) fn of_job_type(kind: EventKind, id: &JobId, deployment: &'a PartitionId) -> Self {
        Self {
            kind,
            partition: deployment,
            id: NO_JOB,
            subject: format!("jobTypes/{id}"),
            message: String::new(),
        }
    }

    /// Of a pipe, in the log of the deployment.
    pub(crate) fn of_pipe(pipe: &str, message: String, deployment: &'a PartitionId) -> Self {
        Self {
            kind: EventKind::PipeLimitsUpdated,
            partition: deployment,
            id: NO_JOB,
            subject: format!("pipes/{pipe}"),
            message,
        }
    }
}

impl Db {
    /// Records a change by a caller, with the transaction that makes it.
    pub(crate) async fn record(
        &self,
        tx: &Tx<'_>,
        change: AuditEntry<'_>,
        caller: &Caller,
    ) -> Result<(), StoreError> {
        // Kind and state are those of an updated job for who does not know the last two columns.
        let sql = "INSERT INTO event (uid, partition_id, job_id, kind, state, revision, run, actor, correlation, message, batch, \
                   items, recorded, change, subject) VALUES ($1, $2, $3, $4, 1, 0, 0, $5, $6, $7, 0, 0, $8, $9, $10)";
        let values = [
            vec![0_u8; 16].into(),
            change.partition.as_str().into(),
            change.id.into(),
            EventKind::Updated.code().into(),
            caller.user.as_str().into(),
            caller.correlation.as_str().into(),
            clean(&change.message, limits::MAX_HEADER_BYTES).into(),
            self.now().into(),
            change.kind.code().into(),
            change.subject.into(),
        ];
        self.run(&**tx, sql, values).await?;
        Ok(())
    }
}
