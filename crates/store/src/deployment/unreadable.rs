//! Rows that this version cannot read, such as those of a newer version or damaged ones. A sweep
//! sets such a row aside for some time and goes on with the others.

use std::collections::BTreeSet;

use headway_domain::Micros;
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Durability},
    error::StoreError,
    ground::{committed::Committed, numbers::unsigned},
    store::Store,
};

/// How long a row is left alone after the first try, in microseconds; each further try doubles it.
const FIRST_WAIT: Micros = 60_000_000;

/// The longest time, in microseconds: another version may have started that can read it.
const LONGEST_WAIT: Micros = 600_000_000;

/// A row that nobody tried for so long is not set aside any more: it was read, or it is gone.
const FORGOTTEN: Micros = 2 * LONGEST_WAIT;

/// Characters of a reason that are kept.
const MAX_REASON_CHARS: usize = 500;

/// A row that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct UnreadableRow {
    /// What it is: `job`, `schedule`, `outbox` or `release`.
    pub source: String,
    /// Its key within that.
    pub row_key: String,
    /// When the next sweep tries it again.
    pub until: Micros,
    /// How often it was tried.
    pub tries: i64,
    /// Why it cannot be read.
    pub reason: String,
}

#[derive(Debug, FromQueryResult)]
struct KeyRow {
    row_key: String,
}

#[derive(Debug, FromQueryResult)]
struct TriesRow {
    tries: i64,
}

impl Store {
    /// Leaves a row alone for some time, because it cannot be read. Logs it the first time.
    pub(crate) async fn set_aside(
        &self,
        source: Source,
        key: &str,
        why: &StoreError,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let reason: String = why.to_string().chars().take(MAX_REASON_CHARS).collect();
        let now = db.now();
        let sql = format!(
            "INSERT INTO unreadable (source, row_key, until, tries, reason) VALUES ($1, $2, $3, 1, $4) \
             ON CONFLICT (source, row_key) DO UPDATE SET tries = unreadable.tries + 1, reason = excluded.reason, \
             until = $5 + CASE WHEN unreadable.tries >= 4 THEN {LONGEST_WAIT} ELSE {FIRST_WAIT} * (1 << CAST(unreadable.tries AS INTEGER)) END \
             RETURNING tries"
        );
        let values = [
            source.name().into(),
            key.into(),
            (now + FIRST_WAIT).into(),
            reason.as_str().into(),
            now.into(),
        ];
        let tx = db.write(Durability::Process).await?;
        let row: Option<TriesRow> = db.one(&*tx, sql, values).await?;
        tx.commit().await?;
        if row.is_none_or(|row| row.tries == 1) {
            tracing::error!(
                source = source.name(),
                key,
                reason,
                "cannot read a row; setting it aside for a minute or more, the other rows go on"
            );
        }
        Ok(())
    }

    /// Works on jobs together. If that fails because a row of one of them cannot be read, works on
    /// each job alone and sets those aside that fail.
    ///
    /// A failure of the database ends it. What other jobs caused until then is in the outbox.
    pub(crate) async fn set_aside_unreadable<Work, Done>(
        &self,
        keys: &[i64],
        work: Work,
    ) -> Result<Committed, StoreError>
    where
        Work: Fn(Vec<i64>) -> Done,
        Done: Future<Output = Result<Committed, StoreError>>,
    {
        match work(keys.to_vec()).await {
            Err(error) if !error.is_passing() => {}
            result => return result,
        }
        let aside = self.aside(Source::Job).await?;
        let left = keys.iter().copied();
        let left: Vec<i64> = left
            .filter(|key| !aside.contains(&key.to_string()))
            .collect();
        if left.len() < keys.len() {
            match work(left.clone()).await {
                Err(error) if !error.is_passing() => {}
                result => return result,
            }
        }
        let mut committed = Committed::default();
        for key in left {
            match work(vec![key]).await {
                Ok(done) => committed.merge(done),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    self.set_aside(Source::Job, &key.to_string(), &error)
                        .await?;
                }
            }
        }
        Ok(committed)
    }

    /// The keys of the rows of a source that are set aside now.
    async fn aside(&self, source: Source) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT row_key FROM unreadable WHERE source = $1 AND until > $2";
        let values = [source.name().into(), self.db.now().into()];
        let rows: Vec<KeyRow> = self.db.all(self.db.work_reader(), sql, values).await?;
        Ok(rows.into_iter().map(|row| row.row_key).collect())
    }

    /// The rows that sweeps leave alone because this version cannot read them, at most `most`.
    pub async fn unreadable_rows(&self, most: u32) -> Result<Vec<UnreadableRow>, StoreError> {
        let sql = "SELECT source, row_key, until, tries, reason FROM unreadable ORDER BY source, row_key LIMIT $1";
        let db = &self.db;
        db.all(db.reader(), sql, [i64::from(most).into()]).await
    }

    /// Forgets rows that were set aside and have been read since, or are gone; how many.
    pub async fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let db = &self.db;
        let before = db.now() - FORGOTTEN;
        let sql = "SELECT count(*) AS value FROM unreadable WHERE until < $1";
        let old = db.one_int(db.work_reader(), sql, [before.into()]).await?;
        if unsigned::<u64>(old.unwrap_or(0))? == 0 {
            return Ok(0);
        }
        db.run_alone("DELETE FROM unreadable WHERE until < $1", [before.into()])
            .await
    }
}

/// The kind of a row that a sweep reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A job, by its key: its rows in `job`, `job_progress`, `page` and `item`.
    Job,
    /// A schedule, by `{partition}/{schedule}`.
    Schedule,
    /// A message in the outbox, by its key.
    Outbox,
    /// A release task, by its key.
    Release,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Schedule => "schedule",
            Self::Outbox => "outbox",
            Self::Release => "release",
        }
    }
}

impl Db {
    /// The condition that a row is not set aside at the time bound as `$now`; `key` is an
    /// expression of type TEXT.
    ///
    /// With NOT IN the few rows that are set aside are read once for each statement, and the order
    /// of an index is kept.
    pub(crate) fn not_set_aside(&self, source: Source, key: &str, now: usize) -> String {
        format!(
            "{key} NOT IN (SELECT u.row_key FROM unreadable u WHERE u.source = '{}' AND u.until > ${now})",
            source.name()
        )
    }

    /// The same for a column with the key of a job.
    pub(crate) fn job_not_set_aside(&self, column: &str, now: usize) -> String {
        self.not_set_aside(Source::Job, &format!("CAST({column} AS TEXT)"), now)
    }
}

/// The rows of a list that this version can read, and the names of the others.
#[derive(Debug, Clone)]
pub struct Sorted<T> {
    /// In the order of the list.
    pub readable: Vec<T>,
    /// In the order of the list.
    pub unreadable: Vec<String>,
}

impl<T> Sorted<T> {
    /// Reads the rows of a list, each with its name.
    ///
    /// # Errors
    /// Where the database fails; a row that cannot be read is no error.
    pub(crate) fn read<Row>(
        rows: impl IntoIterator<Item = (String, Row)>,
        read: impl Fn(Row) -> Result<T, StoreError>,
    ) -> Result<Self, StoreError> {
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for (name, row) in rows {
            match read(row) {
                Ok(row) => readable.push(row),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => {
                    tracing::debug!(name, %error, "cannot read a row; the list names it as unreadable");
                    unreadable.push(name);
                }
            }
        }
        Ok(Self {
            readable,
            unreadable,
        })
    }
}
