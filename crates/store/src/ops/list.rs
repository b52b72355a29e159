//! Reading many jobs: lists, counts, and what watches of a partition compare. Reads take no lock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use headway_domain::{
    Job, JobState, JobUid, Micros, PartitionId,
    filter::{Filter, JobOrder, OrderField, TextTest},
    job::JobMeta,
};
use sea_orm::FromQueryResult;

use super::{
    filter::Conditions,
    read::{FailureRow, JobView, SAMPLE},
};
use crate::{
    Store,
    db::keys,
    error::StoreError,
    rows::{
        item::FAILURE,
        job::{PROGRESS, ProgressRow, state_code, state_of},
        meta::{META_COLUMNS, MetaRow},
        unsigned,
    },
};

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// In one of these states; empty for any.
    pub states: Vec<JobState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// And like this, where more is asked for.
    pub more: Option<Filter>,
}

/// The last job of a page, as far as its order looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlace {
    /// The key of its rows.
    pub key: i64,
    /// The text that the order is by; empty where it is by time.
    pub text: String,
}

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

/// The present states of some jobs.
#[derive(Debug, Clone, Default)]
pub struct JobStates {
    /// Those that are there.
    pub views: HashMap<JobUid, JobView>,
    /// Those that this version cannot read.
    pub unreadable: Vec<JobUid>,
}

/// A filter as a statement looks at it.
struct SortedOut<'a> {
    /// The id that jobs must have.
    id: Option<&'a str>,
    /// A label that jobs must have.
    label: Option<(&'a str, &'a str)>,
    /// States that jobs must be in; empty for any.
    states: Vec<JobState>,
    /// All of it, the label and the states included.
    rest: Filter,
}

impl JobFilter {
    /// Whether it is true of the job as it is.
    pub fn matches(&self, job: &Job) -> bool {
        let of_state = self.states.is_empty() || self.states.contains(&job.state());
        of_state && self.is_labelled(job) && self.more.as_ref().is_none_or(|more| more.matches(job))
    }

    /// Whether it may have been true of an earlier state of the job.
    pub fn may_have_matched(&self, job: &Job) -> bool {
        // Only a change of its spec gives a job other labels.
        let labelled = job.meta.version > 0 || self.is_labelled(job);
        let always = self.more.as_ref().and_then(|more| more.always(job));
        labelled && always != Some(false)
    }

    fn is_labelled(&self, job: &Job) -> bool {
        let labels = &job.meta.spec.labels;
        self.labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    fn sorted_out(&self) -> SortedOut<'_> {
        let label = self.labels.iter().next();
        let label = label.map(|(name, value)| (name.as_str(), value.as_str()));
        let more = self.more.as_ref();
        let states = match self.states.is_empty() {
            true => more.and_then(Filter::states).unwrap_or_default(),
            false => self.states.clone(),
        };
        let labels = self.labels.iter().map(|(name, value)| {
            Filter::Label(name.clone(), Some(TextTest::Equals(value.clone())))
        });
        let mut parts: Vec<Filter> = labels.collect();
        if !self.states.is_empty() {
            parts.push(Filter::Any(
                self.states.iter().copied().map(Filter::State).collect(),
            ));
        }
        parts.extend(more.filter(|more| !more.is_everything()).cloned());
        SortedOut {
            id: more.and_then(Filter::id),
            label: label.or_else(|| more.and_then(Filter::label)),
            states,
            rest: Filter::All(parts),
        }
    }
}

impl JobPlace {
    /// The place of a job in an order.
    pub fn of(view: &JobView, order: JobOrder) -> Self {
        let meta = &view.job.meta;
        let text = match order.by {
            OrderField::CreateTime => "",
            OrderField::Id => meta.name.job.as_str(),
            OrderField::DisplayName => &meta.spec.display_name,
        };
        Self {
            key: meta.key,
            text: text.to_owned(),
        }
    }
}

/// The column of `job` that an order is by; none where the key is enough.
fn order_column(order: JobOrder) -> Option<&'static str> {
    match order.by {
        OrderField::CreateTime => None,
        OrderField::Id => Some("job_id"),
        OrderField::DisplayName => Some("display_name"),
    }
}

/// What stands behind ORDER BY, with `job` under an alias.
fn order_by(order: JobOrder, alias: &str) -> String {
    let direction = if order.descending { "DESC" } else { "ASC" };
    match order_column(order) {
        None => format!("{alias}.job_key {direction}"),
        Some(column) => format!("{alias}.{column} {direction}, {alias}.job_key {direction}"),
    }
}

impl Conditions<'_> {
    /// The condition that a job of `k` comes after a place.
    fn after(&mut self, order: JobOrder, after: &JobPlace) -> String {
        let than = if order.descending { "<" } else { ">" };
        let key = self.bind(after.key);
        match order_column(order) {
            None => format!(" AND k.job_key {than} {key}"),
            Some(column) => {
                let text = self.bind(after.text.as_str());
                format!(" AND (k.{column}, k.job_key) {than} ({text}, {key})")
            }
        }
    }
}

#[derive(Debug, FromQueryResult)]
struct Count {
    state: i64,
    jobs: i64,
}

#[derive(Debug, FromQueryResult)]
struct Changed {
    uid: Vec<u8>,
    revision: i64,
}

/// What the place of a job in an order is made of.
#[derive(Debug, FromQueryResult)]
struct FoundRow {
    job_key: i64,
    job_id: String,
    display_name: String,
}

impl FoundRow {
    fn place(&self, order: JobOrder) -> JobPlace {
        let text = match order.by {
            OrderField::CreateTime => "",
            OrderField::Id => self.job_id.as_str(),
            OrderField::DisplayName => self.display_name.as_str(),
        };
        JobPlace {
            key: self.job_key,
            text: text.to_owned(),
        }
    }
}

/// A failure among those of several jobs.
#[derive(Debug, FromQueryResult)]
struct FailureOf {
    job_key: i64,
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
        let filter = filter.sorted_out();
        let place = match after {
            Some(after) => conditions.after(order, after),
            None => String::new(),
        };
        let rest = conditions.of(&filter.rest);
        // Each source is read from an index in the order that is asked for, and no further than the page.
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
                .map(|state| {
                    (
                        "job_progress",
                        format!(" AND k.state = {}", state_code(*state)),
                    )
                })
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
            PROGRESS.columns_of("p"),
            keys.collect::<Vec<_>>().join(" UNION ALL "),
            order_by(order, "j")
        );
        let rows = db.rows(db.reader(), sql, conditions.values).await?;
        let more = rows.len() > size as usize;
        let mut jobs = Vec::with_capacity(rows.len());
        let mut unreadable = Vec::new();
        let mut next = None;
        for row in rows.iter().take(size as usize) {
            let found = FoundRow::from_query_result(row, "")?;
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

    /// How many jobs of a partition are in each state that any is in.
    pub async fn count_jobs(
        &self,
        partition: &PartitionId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let db = &self.db;
        let mut conditions = Conditions::new(db, vec![partition.as_str().into()]);
        let filter = filter.sorted_out();
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
        let counts: Vec<Count> = db.all(db.reader(), sql, conditions.values).await?;
        counts
            .into_iter()
            .map(|count| Ok((state_of(count.state)?, unsigned(count.jobs)?)))
            .collect()
    }

    /// The uids and revisions of jobs of a partition that are not settled and changed at or after a time, at most so many.
    pub async fn changed_jobs(
        &self,
        partition: &PartitionId,
        since: Micros,
        most: u32,
    ) -> Result<Vec<(JobUid, i64)>, StoreError> {
        let sql = "SELECT j.uid, p.revision FROM job_progress p JOIN job j ON j.job_key = p.job_key \
                   WHERE p.partition_id = $1 AND p.live = 1 AND p.updated >= $2 LIMIT $3";
        let values = [
            partition.as_str().into(),
            since.into(),
            i64::from(most).into(),
        ];
        let changed: Vec<Changed> = self.db.all(self.db.reader(), sql, values).await?;
        changed
            .into_iter()
            .map(|changed| {
                let uid = JobUid::from_slice(&changed.uid);
                let uid = uid.ok_or_else(|| StoreError::Broken("uid of a job".to_owned()))?;
                Ok((uid, changed.revision))
            })
            .collect()
    }

    /// The present states of jobs, without bodies, in a number of statements that does not depend on how many there are. Those that are gone
    /// are left out. Jobs that this version cannot read are found by halves, and told apart.
    pub async fn job_states(&self, uids: &[JobUid]) -> Result<JobStates, StoreError> {
        let mut states = JobStates::default();
        let mut parts = vec![uids];
        while let Some(part) = parts.pop() {
            match self.readable_states(part).await {
                Ok(views) => states.views.extend(views),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => match part {
                    [uid] => {
                        tracing::debug!(job = %uid, %error, "cannot read a job; leaving it out");
                        states.unreadable.push(*uid);
                    }
                    part => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(states)
    }

    /// The same; fails where one of them cannot be read.
    async fn readable_states(
        &self,
        uids: &[JobUid],
    ) -> Result<HashMap<JobUid, JobView>, StoreError> {
        let metas = self.metas(uids).await?;
        let by_key: HashMap<i64, &Arc<JobMeta>> =
            metas.values().map(|meta| (meta.key, meta)).collect();
        if by_key.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT {} FROM job_progress p WHERE {}",
            PROGRESS.columns_of("p"),
            self.db.is_in("p.job_key", 1)
        );
        let list = keys::ints(by_key.keys().copied());
        let rows: Vec<ProgressRow> = self.db.all(self.db.reader(), sql, [list]).await?;
        let mut views = HashMap::with_capacity(rows.len());
        for job in self.db.jobs_of(rows, &by_key).await? {
            views.insert(job.meta.key, JobView::new(job));
        }
        self.add_samples(&mut views).await?;
        Ok(views
            .into_values()
            .map(|view| (view.job.meta.uid, view))
            .collect())
    }

    /// Adds the newest failures of the present runs.
    async fn add_samples(&self, views: &mut HashMap<i64, JobView>) -> Result<(), StoreError> {
        // Where failures were taken back their numbers have gaps.
        let gaps = |view: &JobView| view.job.counts.redriven > 0;
        for view in views.values_mut().filter(|view| gaps(view)) {
            view.failures = self.failure_sample(&view.job).await?;
        }
        let failing = views.values().filter(|view| !gaps(view));
        let failing = failing.filter(|view| view.job.counts.failures > 0);
        let failing: Vec<_> = failing
            .map(|view| {
                let first = i64::try_from(view.job.counts.failures).unwrap_or(i64::MAX) - SAMPLE;
                (view.job.meta.key, i64::from(view.job.run), first)
            })
            .collect();
        if failing.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM {} JOIN failure f ON f.job_key = k.a AND f.run = k.b AND f.seq > k.c ORDER BY f.job_key, f.seq DESC",
            FAILURE.columns_of("f"),
            self.db.triples("k", 1)
        );
        for row in self
            .db
            .rows(self.db.reader(), sql, [keys::triples(failing)])
            .await?
        {
            let of = FailureOf::from_query_result(&row, "")?;
            let failure = FailureRow::from_query_result(&row, "")?;
            if let Some(view) = views.get_mut(&of.job_key) {
                view.failures.push(failure);
            }
        }
        // More may have failed between the two statements.
        for view in views.values_mut() {
            view.failures
                .truncate(usize::try_from(SAMPLE).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}
