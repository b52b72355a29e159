//! The row of a job that hardly ever changes, and its labels.

use headway_domain::{
    JobId, JobName, JobUid, PartitionId,
    jobs::{JobMeta, JobSpec},
};

use crate::{
    db::{
        bulk::Cell,
        table::{row, table},
    },
    error::StoreError,
    ground::numbers::unsigned,
    jobs::create::new_job::NewJob,
};

row! {
    /// What is read of a row of `job`.
    pub(crate) struct MetaRow as "j" {
        job_key: i64,
        uid: Vec<u8>,
        partition_id: String,
        job_id: String,
        shard: i64,
        spec: String,
        creator: String,
        created: i64,
        version: i64,
    }
}

/// The columns of [`MetaRow`], with the table as `j`.
pub(crate) const META_COLUMNS: &str = MetaRow::COLUMNS;

impl TryFrom<MetaRow> for JobMeta {
    type Error = StoreError;

    fn try_from(row: MetaRow) -> Result<Self, StoreError> {
        let broken = |what: &str| StoreError::Broken(format!("job {}: {what}", row.job_key));
        let spec: JobSpec =
            serde_json::from_str(&row.spec).map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            key: row.job_key,
            uid: JobUid::from_slice(&row.uid).ok_or_else(|| broken("uid"))?,
            name: JobName {
                partition: PartitionId::new(row.partition_id)?,
                job: JobId::new(row.job_id)?,
            },
            shard: unsigned(row.shard)?,
            spec,
            creator: row.creator,
            created: row.created,
            version: unsigned(row.version)?,
        })
    }
}

table! {
    const JOB = "job";
    fn new_job_cells(job: &NewJob, meta: &JobMeta, spec: String) {}
    key_only job_key: i64 = meta.key,
    write uid: Vec<u8> = meta.uid.0.as_bytes().to_vec(),
    write partition_id: String = meta.name.partition.as_str(),
    write job_id: String = meta.name.job.as_str(),
    write shard: i64 = meta.shard,
    write request_id: String = job.request_id.as_str(),
    write hash: Vec<u8> = job.spec.hash().to_vec(),
    write spec: String = spec,
    write body: Vec<u8> = job.spec.body(),
    write creator: String = job.creator.as_str(),
    write created: i64 = meta.created,
    write items_per_message: i64 = job.spec.items_per_message,
    write display_name: String = job.spec.display_name.as_str(),
}

/// The cells of a new job.
pub(crate) fn job_cells(job: &NewJob, meta: &JobMeta) -> Result<Vec<Cell>, StoreError> {
    let spec = serde_json::to_string(&meta.spec)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(new_job_cells(job, meta, spec))
}

table! {
    const LABEL = "label";
    fn cells_of_label(meta: &JobMeta, name: &str, value: &str) {}
    key_only job_key: i64 = meta.key,
    key_only name: String = name,
    write value: String = value,
    write partition_id: String = meta.name.partition.as_str(),
}

/// The cells of a job's labels, a row each.
pub(crate) fn label_cells(meta: &JobMeta) -> impl Iterator<Item = Vec<Cell>> {
    let labels = meta.spec.labels.iter();
    labels.map(move |(name, value)| cells_of_label(meta, name, value))
}
