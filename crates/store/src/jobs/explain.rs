//! Why a job does not run or end: what its rows say beside its counters.

use headway_domain::{
    Error, Job, JobId, JobName, Micros, events::EventKind, pipes::PipeLimits, reports::code,
};
use sea_orm::FromQueryResult;

use crate::{
    batches::split_retry::SplitRetry,
    error::StoreError,
    ground::{codes::Code, numbers::unsigned},
    jobs::view::JobView,
    partitions::view::Suspension,
    prerequisites::view::PrerequisiteState,
    store::Store,
};

/// Open prerequisites that are named.
const MAX_PREREQUISITES_NAMED: i64 = 20;

/// The newest failures among which dead letters are counted.
const MAX_FAILURES_SCANNED: i64 = 1000;

/// A lease that was not renewed for this part of its time belongs to a silent worker; heartbeats
/// come more often.
const SILENT_PART: f64 = 0.5;

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// Who; may be empty.
    pub by: String,
    /// When.
    pub time: Micros,
}

/// Items under leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaseCount {
    /// All of them.
    pub items: u64,
    /// Those whose workers have not renewed them lately.
    pub silent: u64,
}

/// What is known of a job that does not run or end.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The job.
    pub view: JobView,
    /// Some of the prerequisites that are waited for, by id.
    pub waits_for: Vec<JobId>,
    /// Who paused it, if the audit log still knows.
    pub paused: Option<Since>,
    /// Its partition's suspension.
    pub suspended: Option<Suspension>,
    /// When the next delayed item is tried again.
    pub next_try: Option<Micros>,
    /// Items that run for so long that they are under leases.
    pub leases: LeaseCount,
    /// Items whose messages the broker gave up, among the newest failures.
    pub dead_letters: u64,
    /// Pages that are to be split again.
    pub split_retry: Option<SplitRetry>,
    /// What keeps it from sending more.
    pub bounds: Bounds,
}

/// What bounds what a job sends, as far as it may send nothing now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// How many items its partition may have in flight, if it has reached that number.
    pub quota: Option<u32>,
    /// What its pipe takes.
    pub pipe: PipeLimits,
}

#[derive(Debug, FromQueryResult)]
struct OpenPrerequisiteRow {
    needed: String,
}

#[derive(Debug, FromQueryResult)]
struct PausedRow {
    actor: String,
    recorded: i64,
}

#[derive(Debug, FromQueryResult)]
struct ItemSumsRow {
    next_try: i64,
    leased: i64,
    silent: i64,
}

impl Store {
    /// Why a job does not run or end, as far as the database knows.
    pub async fn explain(&self, name: &JobName) -> Result<Explanation, StoreError> {
        let db = &self.db;
        let meta = self.named(name).await?;
        let gone = || StoreError::Domain(Error::JobNotFound(name.clone()));
        let job = self.read_job(&meta).await?.ok_or_else(gone)?;
        let sql = format!(
            "SELECT needed FROM prerequisite WHERE job_key = $1 AND state = {} ORDER BY number LIMIT $2",
            PrerequisiteState::Open.code()
        );
        let waits_for: Vec<OpenPrerequisiteRow> = match job.waits {
            0 => Vec::new(),
            _ => {
                db.all(
                    db.reader(),
                    sql,
                    [meta.key.into(), MAX_PREREQUISITES_NAMED.into()],
                )
                .await?
            }
        };
        let paused = match job.paused {
            true => self.last_pause(name).await?,
            false => None,
        };
        let suspended = match job.suspended {
            true => self.partitions().get(&name.partition).await?.suspension,
            false => None,
        };
        let items = match job.counts.item_rows {
            0 => None,
            _ => self.exceptional_items(meta.key).await?,
        };
        let dead_letters = match job.counts.standing_failures() {
            0 => 0,
            _ => self.dead_letters_of(meta.key, job.run).await?,
        };
        let bounds = match job.is_running() && job.sendable(job.counts.out()) == 0 {
            true => self.bounds(&job).await?,
            false => Bounds::default(),
        };
        let split_retry = match job.counts.splitting + job.counts.unsplit {
            0 => None,
            _ => db.split_retry(meta.key).await?,
        };
        Ok(Explanation {
            bounds,
            split_retry,
            view: JobView::new(job),
            waits_for: waits_for
                .into_iter()
                .map(|row| Ok(JobId::new(row.needed)?))
                .collect::<Result<_, StoreError>>()?,
            paused,
            suspended,
            next_try: items
                .as_ref()
                .map(|items| items.next_try)
                .filter(|next| *next > 0),
            leases: match &items {
                Some(items) => LeaseCount {
                    items: unsigned(items.leased)?,
                    silent: unsigned(items.silent)?,
                },
                None => LeaseCount::default(),
            },
            dead_letters,
        })
    }

    async fn bounds(&self, job: &Job) -> Result<Bounds, StoreError> {
        let partition = &job.meta.name.partition;
        let quota = self.partitions().get(partition).await?.share.in_flight;
        let is_full = match quota {
            Some(most) => self.partitions().items_in_flight(partition).await? >= u64::from(most),
            None => false,
        };
        Ok(Bounds {
            quota: quota.filter(|_| is_full),
            pipe: self.pipes().limits(job.meta.spec.pipe()).await?,
        })
    }

    async fn last_pause(&self, name: &JobName) -> Result<Option<Since>, StoreError> {
        let sql = "SELECT actor, recorded FROM event WHERE partition_id = $1 AND job_id = $2 AND kind = $3 \
                   ORDER BY tx DESC, seq DESC LIMIT 1";
        let values = [
            name.partition.as_str().into(),
            name.job.as_str().into(),
            EventKind::Paused.code().into(),
        ];
        let paused: Option<PausedRow> = self.db.one(self.db.reader(), sql, values).await?;
        Ok(paused.map(|row| Since {
            by: row.actor,
            time: row.recorded,
        }))
    }

    async fn exceptional_items(&self, key: i64) -> Result<Option<ItemSumsRow>, StoreError> {
        let db = &self.db;
        let sql = "SELECT COALESCE(min(CASE WHEN due > 0 THEN due END), 0) AS next_try, \
                   count(CASE WHEN lease_until > 0 THEN 1 END) AS leased, \
                   count(CASE WHEN lease_until > 0 AND lease_until < $2 THEN 1 END) AS silent \
                   FROM item WHERE job_key = $1";
        let renewed = db.now() + (db.lease as f64 * SILENT_PART) as i64;
        db.one(db.reader(), sql, [key.into(), renewed.into()]).await
    }

    async fn dead_letters_of(&self, key: i64, run: u32) -> Result<u64, StoreError> {
        let db = &self.db;
        let sql = "SELECT count(*) AS value FROM ( \
                     SELECT code FROM failure WHERE job_key = $1 AND run = $2 ORDER BY seq DESC LIMIT $3 \
                   ) AS newest WHERE code = $4";
        let values = [
            key.into(),
            i64::from(run).into(),
            MAX_FAILURES_SCANNED.into(),
            code::DEAD_LETTERED.into(),
        ];
        let count = db.one_int(db.reader(), sql, values).await?;
        unsigned(count.unwrap_or(0))
    }
}
