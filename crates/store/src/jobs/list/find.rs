//! Listing jobs. Reads take no lock.

use std::sync::Arc;

use headway_domain::{
    JobState, PartitionId,
    filter::{JobOrder, OrderField},
    jobs::JobMeta,
};
use sea_orm::FromQueryResult;

use crate::{
    error::StoreError,
    ground::{codes::Code, numbers::unsigned},
    jobs::{
        list::{
            conditions::Conditions,
            filter::JobFilter,
            order::{JobPlace, OrderRow, order_by},
        },
        view::JobView,
    },
    slice::rows::{
        job::{META_COLUMNS, MetaRow},
        progress::ProgressRow,
    },
    store::Store,
};

/// Some jobs and where the next ones begin.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// The ids of jobs of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// The key to continue below, if there may be more.
    pub next: Option<i64>,
}

/// Some jobs in an order, and where the next ones begin.
#[derive(Debug, Clone)]
pub struct FoundJobs {
    /// In the order that was asked for.
    pub jobs: Vec<JobView>,
    /// The ids of jobs of this page that this version cannot read.
    pub unreadable: Vec<String>,
    /// Where to continue, if there may be more.
    pub next: Option<JobPlace>,
}

impl Store {
    /// Lists jobs of a partition, newest first, below the key of the last one seen.
    pub async fn list_jobs(
        &self,
        partition: &PartitionId,
        filter: &JobFilter,
        below: Option<i64>,
        size: u32,
    ) -> Result<JobPage, StoreError> {
        let after = below.map(|key| JobPlace {
            key,
            text: String::new(),
        });
        let order = JobOrder::default();
        let found = self.find_jobs(partition, filter, order, after.as_ref(), size);
        let FoundJobs {
            jobs,
            unreadable,
            next,
        } = found.await?;
        Ok(JobPage {
            jobs,
            unreadable,
            next: next.map(|place| place.key),
        })
    }

    /// Lists jobs of a partition in an order, after the last one seen.
    pub async fn find_jobs(
        &self,
        partition: &PartitionId,
        filter: &JobFilter,
        order: JobOrder,
        after: Option<&JobPlace>,
        size: u32,
    ) -> Result<FoundJobs, StoreError> {
        let db = &self.db;
        let mut conditions = Conditions::new(db, vec![partition.as_str().into()]);
        let most = conditions.bind(i64::from(size) + 1);
        let filter = filter.plan();
        let place = match after {
            Some(after) => conditions.after(order, after),
            None => String::new(),
        };
        let rest = conditions.of(&filter.rest);
        // Each source is read from an index in the order that is asked for, and no further than the
        // page.
        let sources = match (order.by, filter.label, filter.states.as_slice()) {
            _ if filter.id.is_some() => {
                let id = conditions.bind(filter.id.unwrap_or_default());
                vec![("job", format!(" AND k.job_id = {id}"))]
            }
            (OrderField::CreateTime, Some((name, value)), _) => {
                let (name, value) = (conditions.bind(name), conditions.bind(value));
                vec![(
                    "label",
                    format!(" AND k.name = {name} AND k.value = {value}"),
                )]
            }
            (OrderField::CreateTime, None, [_, ..]) => filter
                .states
                .iter()
                .map(|state| ("job_progress", format!(" AND k.state = {}", state.code())))
                .collect(),
            _ => vec![("job", String::new())],
        };
        let keys = sources.iter().map(|(table, of)| {
            format!(
                "SELECT job_key FROM (SELECT k.job_key FROM {table} k JOIN job j ON j.job_key = k.job_key \
                 JOIN job_progress p ON p.job_key = k.job_key WHERE k.partition_id = $1{of}{place} AND {rest} \
                 ORDER BY {} LIMIT {most}) s",
                order_by(order, "k")
            )
        });
        let sql = format!(
            "SELECT {META_COLUMNS}, j.display_name, {} FROM ({}) k JOIN job j ON j.job_key = k.job_key \
             JOIN job_progress p ON p.job_key = k.job_key ORDER BY {} LIMIT {most}",
            ProgressRow::COLUMNS,
            keys.collect::<Vec<_>>().join(" UNION ALL "),
            order_by(order, "j")
        );
        let rows = db.rows(db.reader(), sql, conditions.values).await?;
        let more = rows.len() > size as usize;
        let mut jobs = Vec::with_capacity(rows.len());
        let mut unreadable = Vec::new();
        let mut next = None;
        for row in rows.iter().take(size as usize) {
            let found = OrderRow::from_query_result(row, "")?;
            let meta = MetaRow::from_query_result(row, "")?;
            let progress = ProgressRow::from_query_result(row, "")?;
            let job = JobMeta::try_from(meta).and_then(|meta| progress.into_job(Arc::new(meta)));
            next = Some(found.place(order));
            match job {
                Ok(job) => jobs.push(JobView::new(job)),
                Err(error) => {
                    tracing::debug!(job = found.job_id, %error, "cannot read a job; the list names it as unreadable");
                    unreadable.push(found.job_id);
                }
            }
        }
        Ok(FoundJobs {
            jobs,
            unreadable,
            next: next.filter(|_| more),
        })
    }
}

#[derive(Debug, FromQueryResult)]
struct StateCountRow {
    state: i64,
    jobs: i64,
}

impl Store {
    /// How many jobs of a partition are in each state that any is in.
    pub async fn count_jobs(
        &self,
        partition: &PartitionId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let db = &self.db;
        let mut conditions = Conditions::new(db, vec![partition.as_str().into()]);
        let filter = filter.plan();
        let sql = if filter.label.is_none() && filter.rest.is_everything() {
            "SELECT state, count(*) AS jobs FROM job_progress WHERE partition_id = $1 GROUP BY state ORDER BY state".to_owned()
        } else {
            let rest = conditions.of(&filter.rest);
            let source = match filter.label {
                Some((name, value)) => {
                    let (name, value) = (conditions.bind(name), conditions.bind(value));
                    format!(
                        "label k JOIN job_progress p ON p.job_key = k.job_key JOIN job j ON j.job_key = k.job_key \
                             WHERE k.partition_id = $1 AND k.name = {name} AND k.value = {value}"
                    )
                }
                None => {
                    "job_progress p JOIN job j ON j.job_key = p.job_key WHERE p.partition_id = $1"
                        .to_owned()
                }
            };
            format!(
                "SELECT p.state, count(*) AS jobs FROM {source} AND {rest} GROUP BY p.state ORDER BY p.state"
            )
        };
        let counts: Vec<StateCountRow> = db.all(db.reader(), sql, conditions.values).await?;
        counts
            .into_iter()
            .map(|count| Ok((JobState::of(count.state)?, unsigned(count.jobs)?)))
            .collect()
    }
}
