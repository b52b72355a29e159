//! What new jobs take over from their partitions and from the deployment.
//!
//! The database is not asked for it before each creation: what an earlier creation read is cached,
//! and the statement that inserts the jobs inserts nothing if it has changed since.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use headway_domain::{jobs::Retention, partitions::PartitionShare};
use sea_orm::{FromQueryResult, Value, sea_query::ArrayType};

use crate::{
    db::Db,
    deployment::epoch::{EPOCH_VALUE, epoch_number},
    error::StoreError,
    partitions::view::{read_retention, share},
};

/// The settings of a row of `partition_setting` that new jobs take over, as one text.
const SETTINGS: &str = "(s.suspended || ' ' || s.retention || ' ' || s.weight || ' ' || s.open_jobs || ' ' || s.in_flight)";

/// Partitions that are cached at most. Beyond that the cache is emptied.
const MAX_CACHED: usize = 10_000;

/// What new jobs of a partition take over.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartitionDefaults {
    /// Whether it is suspended.
    pub suspended: bool,
    /// How long its jobs are kept where they do not say it.
    pub retention: Retention,
    /// Its quotas.
    pub share: PartitionShare,
}

/// What new jobs take over, as the database had it at some moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    /// The setting that holds the broker's epoch; empty before the first.
    epoch: String,
    /// By id, every partition that was asked for.
    partitions: BTreeMap<String, Known>,
}

/// The settings of a partition: as text, empty if it has none, and read.
#[derive(Debug, Clone, Default)]
struct Known {
    text: String,
    read: PartitionDefaults,
}

impl Defaults {
    /// The number of the broker's epoch.
    pub(crate) fn epoch(&self) -> Result<i64, StoreError> {
        epoch_number(&self.epoch)
    }

    /// What jobs of a partition take over.
    pub(crate) fn of(&self, partition: &str) -> PartitionDefaults {
        let known = self.partitions.get(partition);
        known.map(|known| known.read.clone()).unwrap_or_default()
    }

    /// A condition that holds while the database has the same, with its values, which are bound
    /// from `$first` on.
    pub(crate) fn hold(&self, db: &Db, first: usize) -> (String, Vec<Value>) {
        let same_epoch = format!("COALESCE({EPOCH_VALUE}, '') = ${first}");
        let mut values = vec![Value::from(self.epoch.as_str())];
        let mut conditions = vec![same_epoch];
        let settings = |id: &str| {
            format!(
                "COALESCE((SELECT {SETTINGS} FROM partition_setting s WHERE s.partition_id = {id}), '')"
            )
        };
        if db.is_sqlite() {
            for (id, known) in &self.partitions {
                let n = first + values.len();
                conditions.push(format!("{} = ${}", settings(&format!("${n}")), n + 1));
                values.extend([id.as_str().into(), known.text.as_str().into()]);
            }
        } else {
            // The text does not depend on the number of partitions.
            conditions.push(format!(
                "NOT EXISTS (SELECT 1 FROM UNNEST(${}::text[], ${}::text[]) AS known(id, settings) \
                 WHERE {} <> known.settings)",
                first + 1,
                first + 2,
                settings("known.id")
            ));
            values.push(list(self.partitions.keys()));
            values.push(list(self.partitions.values().map(|known| &known.text)));
        }
        (conditions.join(" AND "), values)
    }
}

fn list<'a>(texts: impl Iterator<Item = &'a String>) -> Value {
    let texts = texts.map(|text| Value::from(text.as_str()));
    Value::Array(ArrayType::String, Some(Box::new(texts.collect())))
}

/// What creations have read, cached. It may have changed since: see [`Defaults::hold`].
#[derive(Debug, Default)]
pub(crate) struct CachedDefaults {
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    epoch: String,
    partitions: HashMap<String, Known>,
}

impl CachedDefaults {
    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is cached for these partitions, if it is for all of them.
    pub(crate) fn of(&self, partitions: &BTreeSet<&str>) -> Option<Defaults> {
        let cached = self.lock();
        let known = |id: &&str| Some(((*id).to_owned(), cached.partitions.get(*id)?.clone()));
        Some(Defaults {
            partitions: partitions.iter().map(known).collect::<Option<_>>()?,
            epoch: cached.epoch.clone(),
        })
    }

    fn keep(&self, defaults: &Defaults) {
        let mut cached = self.lock();
        if cached.partitions.len() + defaults.partitions.len() > MAX_CACHED {
            cached.partitions.clear();
        }
        cached.epoch.clone_from(&defaults.epoch);
        let known = defaults.partitions.iter();
        let known = known.map(|(id, known)| (id.clone(), known.clone()));
        cached.partitions.extend(known);
    }
}

#[derive(Debug, FromQueryResult)]
struct DefaultRow {
    epoch_setting: Option<String>,
    partition_id: Option<String>,
    settings: Option<String>,
    suspended: Option<i64>,
    retention: Option<String>,
    weight: Option<i64>,
    open_jobs: Option<i64>,
    in_flight: Option<i64>,
}

impl DefaultRow {
    /// The settings of a partition; `None` if there is no partition in this row.
    fn known(self) -> Result<Option<(String, Known)>, StoreError> {
        let Some(id) = self.partition_id else {
            return Ok(None);
        };
        let number = Option::unwrap_or_default;
        let read = PartitionDefaults {
            suspended: number(self.suspended) != 0,
            retention: read_retention(&self.retention.unwrap_or_default())?,
            share: share(
                number(self.weight),
                number(self.open_jobs),
                number(self.in_flight),
            )?,
        };
        let text = self.settings.unwrap_or_default();
        Ok(Some((id, Known { text, read })))
    }
}

impl CachedDefaults {
    /// Reads what jobs of these partitions, which are about to be created, take over, and caches
    /// it.
    pub(crate) async fn read(
        &self,
        db: &Db,
        partitions: &BTreeSet<&str>,
    ) -> Result<Defaults, StoreError> {
        let ids = serde_json::to_string(partitions).unwrap_or_default();
        // Without any settings there is one row, with the epoch alone.
        let sql = format!(
            "SELECT present.epoch_setting, s.* FROM (SELECT {EPOCH_VALUE} AS epoch_setting) AS present LEFT JOIN ( \
               SELECT s.partition_id, {SETTINGS} AS settings, s.suspended, s.retention, s.weight, s.open_jobs, s.in_flight \
               FROM partition_setting s WHERE s.partition_id IN ({})) AS s ON TRUE",
            db.texts(1)
        );
        let rows: Vec<DefaultRow> = db.all(db.work_reader(), sql, [ids.into()]).await?;
        let without = |id: &&str| ((*id).to_owned(), Known::default());
        let mut defaults = Defaults {
            epoch: String::new(),
            partitions: partitions.iter().map(without).collect(),
        };
        for mut row in rows {
            defaults.epoch = row.epoch_setting.take().unwrap_or_default();
            defaults.partitions.extend(row.known()?);
        }
        self.keep(&defaults);
        Ok(defaults)
    }
}
