//! Partitions as they are read.

use headway_domain::{
    Micros, PartitionId, etag::etag, jobs::Retention, partitions::PartitionShare,
};

use crate::{error::StoreError, ground::numbers::unsigned, partitions::entity::Model};

/// A partition as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its id.
    pub partition: PartitionId,
    /// Set if it is suspended.
    pub suspension: Option<Suspension>,
    /// How long its jobs are kept where they do not say it.
    pub retention: Retention,
    /// Its weight and quotas.
    pub share: PartitionShare,
}

impl PartitionView {
    /// Identifies its settings; suspending changes none.
    pub fn etag(&self) -> String {
        let retention = serde_json::to_vec(&self.retention).unwrap_or_default();
        let quota = |quota: Option<u32>| quota.unwrap_or(0).to_be_bytes();
        etag([
            retention.as_slice(),
            &self.share.weight.to_be_bytes(),
            &quota(self.share.open_jobs),
            &quota(self.share.in_flight),
        ])
    }
}

/// Since when a partition is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Who suspended it; may be empty.
    pub by: String,
    /// When.
    pub since: Micros,
}

/// Some partitions and where the next ones begin.
#[derive(Debug, Clone)]
pub struct PartitionPage {
    /// In the order of their ids' bytes.
    pub partitions: Vec<PartitionView>,
    /// The ids of partitions of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// The id to continue above, if there may be more.
    pub next: Option<String>,
}

/// Weight and quotas as they are stored: 0 is no quota.
pub(crate) fn share(
    weight: i64,
    open_jobs: i64,
    in_flight: i64,
) -> Result<PartitionShare, StoreError> {
    let quota =
        |stored: i64| unsigned(stored).map(|quota: u32| Some(quota).filter(|quota| *quota > 0));
    Ok(PartitionShare {
        weight: unsigned(weight)?,
        open_jobs: quota(open_jobs)?,
        in_flight: quota(in_flight)?,
    })
}

pub(crate) fn read_retention(text: &str) -> Result<Retention, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Broken(format!("retention of a partition: {error}")))
}

impl Model {
    pub(crate) fn view(self) -> Result<PartitionView, StoreError> {
        Ok(PartitionView {
            partition: PartitionId::new(self.partition_id.as_str())?,
            retention: read_retention(&self.retention)?,
            share: share(self.weight, self.open_jobs, self.in_flight)?,
            suspension: self.suspension(),
        })
    }

    fn suspension(self) -> Option<Suspension> {
        (self.suspended != 0).then_some(Suspension {
            by: self.changed_by,
            since: self.changed,
        })
    }
}
