//! How many pipes a deployment has: each is a queue of the broker. New ones are refused beyond a
//! bound, and those that no job uses any more are forgotten.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use headway_domain::{
    Error, JobUid, PartitionId,
    jobs::{JobMeta, bulk::RESERVED},
    reports::{Failed, ItemEvent, PageReport, code},
};
use sea_orm::FromQueryResult;

use crate::{db::keys, error::StoreError, pipes::Pipes};

#[derive(Debug, FromQueryResult)]
pub(crate) struct PipeNameRow {
    pub(crate) name: String,
}

impl Pipes<'_> {
    /// Refuses pipes that would be more than the deployment may have.
    pub(crate) async fn admit<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        match self.beyond_bound(names).await?.into_iter().next() {
            None => Ok(()),
            Some(pipe) => Err(Error::TooManyPipes {
                pipe,
                limit: self.store.db.pipes,
            }
            .into()),
        }
    }

    /// Those of some pipes that are new and more than the deployment may have.
    async fn beyond_bound<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let names = names
            .into_iter()
            .filter(|name| !name.starts_with(RESERVED) && !self.store.noted_pipes.knows(name));
        let names: BTreeSet<_> = names.map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(names);
        }
        let db = &self.store.db;
        let sql = format!(
            "SELECT t.value AS name FROM ({}) AS t WHERE NOT EXISTS (SELECT 1 FROM pipe p WHERE p.name = t.value) \
             AND NOT EXISTS (SELECT 1 FROM result_pipe r WHERE r.name = t.value) ORDER BY 1",
            db.texts(1)
        );
        let list: Vec<_> = names.into_iter().collect();
        let new: Vec<PipeNameRow> = db.all(db.work_reader(), sql, [keys::texts(&list)]).await?;
        if new.is_empty() {
            return Ok(BTreeSet::new());
        }
        let sql = "SELECT count(*) AS value FROM (SELECT name FROM pipe UNION SELECT name FROM result_pipe) AS names";
        let count = db.one_int(db.work_reader(), sql, []).await?.unwrap_or(0);
        let room = usize::try_from(i64::from(db.pipes) - count).unwrap_or(0);
        Ok(new.into_iter().skip(room).map(|row| row.name).collect())
    }

    /// Notes that results of jobs go to pipes. Costs nothing for those that were noted lately.
    pub(crate) async fn note_results<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        for name in names {
            if self.store.noted_pipes.is_noted_result(name) {
                continue;
            }
            let sql = "INSERT INTO result_pipe (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
            self.store.db.run_alone(sql, [name.into()]).await?;
            self.store.noted_pipes.note_result(name);
        }
        Ok(())
    }

    /// Reports in which forwards to pipes beyond the bound are failures; `None` if there are no
    /// such forwards.
    pub(crate) async fn refuse_new_forwards(
        self,
        reports: &[PageReport],
        metas: &HashMap<JobUid, Arc<JobMeta>>,
    ) -> Result<Option<Vec<PageReport>>, StoreError> {
        let known = reports
            .iter()
            .filter(|report| metas.contains_key(&report.job));
        let items = known.flat_map(|report| &report.items);
        let names: HashSet<_> = items
            .filter_map(|item| match &item.event {
                ItemEvent::Forward(forward) => Some(forward.pipe.as_str()),
                _ => None,
            })
            .collect();
        let beyond = self.beyond_bound(names).await?;
        if beyond.is_empty() {
            return Ok(None);
        }
        let mut reports = reports.to_vec();
        for item in reports.iter_mut().flat_map(|report| &mut report.items) {
            if let ItemEvent::Forward(forward) = &item.event
                && beyond.contains(&forward.pipe)
            {
                let error = Error::TooManyPipes {
                    pipe: forward.pipe.clone(),
                    limit: self.store.db.pipes,
                };
                let failed = Failed::lasting(code::TOO_MANY_PIPES, error.to_string());
                item.event = ItemEvent::Failed(failed);
            }
        }
        Ok(Some(reports))
    }

    /// Notes that jobs of partitions use pipes. Costs nothing for those that were noted lately.
    pub(crate) async fn note<'a>(
        self,
        uses: impl IntoIterator<Item = (&'a PartitionId, &'a str)>,
    ) -> Result<(), StoreError> {
        let new = uses
            .into_iter()
            .filter(|(partition, pipe)| self.store.noted_pipes.is_new(partition, pipe));
        let new: HashSet<_> = new.collect();
        for (partition, pipe) in new {
            let sql = "INSERT INTO pipe (partition_id, name) VALUES ($1, $2) ON CONFLICT (partition_id, name) DO NOTHING";
            self.store
                .db
                .run_alone(sql, [partition.as_str().into(), pipe.into()])
                .await?;
            self.store
                .noted_pipes
                .note(partition.clone(), pipe.to_owned());
        }
        Ok(())
    }
}
