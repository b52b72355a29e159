//! The row of a job that hardly ever changes, and its labels.

use headway_domain::{JobId, JobName, JobUid, PartitionId, job::JobMeta, spec::JobSpec};
use sea_orm::FromQueryResult;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::unsigned,
    jobs::create::new_job::NewJob,
};

/// The columns of [`MetaRow`], with the table as `j`.
pub(crate) const META_COLUMNS: &str =
    "j.job_key, j.uid, j.partition_id, j.job_id, j.shard, j.spec, j.creator, j.created, j.version";

#[derive(Debug, FromQueryResult)]
pub(crate) struct MetaRow {
    pub job_key: i64,
    pub uid: Vec<u8>,
    pub partition_id: String,
    pub job_id: String,
    pub shard: i64,
    pub spec: String,
    pub creator: String,
    pub created: i64,
    pub version: i64,
}

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

pub(crate) const JOB: Table = Table {
    name: "job",
    keys: 1,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("uid", Kind::Bytes),
        ("partition_id", Kind::Text),
        ("job_id", Kind::Text),
        ("shard", Kind::Int),
        ("request_id", Kind::Text),
        ("hash", Kind::Bytes),
        ("spec", Kind::Text),
        ("body", Kind::Bytes),
        ("creator", Kind::Text),
        ("created", Kind::Int),
        ("items_per_message", Kind::Int),
        ("display_name", Kind::Text),
    ],
};

pub(crate) const LABEL: Table = Table {
    name: "label",
    keys: 2,
    insert_only: 0,
    columns: &[
        ("job_key", Kind::Int),
        ("name", Kind::Text),
        ("value", Kind::Text),
        ("partition_id", Kind::Text),
    ],
};

pub(crate) fn job_cells(job: &NewJob, meta: &JobMeta) -> Result<Vec<Cell>, StoreError> {
    let spec = serde_json::to_string(&meta.spec)
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok(vec![
        meta.key.into(),
        meta.uid.0.as_bytes().to_vec().into(),
        meta.name.partition.as_str().into(),
        meta.name.job.as_str().into(),
        meta.shard.into(),
        job.request_id.as_str().into(),
        job.spec.hash().to_vec().into(),
        spec.into(),
        job.spec.body().into(),
        job.creator.as_str().into(),
        meta.created.into(),
        job.spec.items_per_message.into(),
        job.spec.display_name.as_str().into(),
    ])
}

pub(crate) fn label_cells(meta: &JobMeta) -> impl Iterator<Item = Vec<Cell>> {
    let partition = meta.name.partition.as_str();
    meta.spec.labels.iter().map(move |(name, value)| {
        vec![
            meta.key.into(),
            name.as_str().into(),
            value.as_str().into(),
            partition.into(),
        ]
    })
}
