//! What every test does with a deployment, whatever it runs on: submit, wait, look.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use headway::v1::{Failure, Job, JobSpec, JobState};
use headway_broker::Broker;
use headway_client::{Client, ClientConfig, JobName};
use headway_domain::{JobUid, PartitionId};
use headway_store::{JobFilter, Store};
use uuid::Uuid;

use crate::{PATIENCE, name, request, services::left_in, until};

/// A client of a deployment, and ways to look behind it.
#[derive(Debug, Clone)]
pub struct Harness {
    pub(crate) client: Client,
    pub(crate) store: Store,
    /// None where pipes are inside another process.
    pub(crate) broker: Option<Arc<dyn Broker>>,
}

impl Harness {
    pub(crate) async fn connect(
        address: std::net::SocketAddr,
        store: Store,
        broker: Option<Arc<dyn Broker>>,
    ) -> anyhow::Result<Self> {
        let client = Client::connect(ClientConfig::new(format!("http://{address}"))).await?;
        Ok(Self {
            client,
            store,
            broker,
        })
    }

    /// A client of the deployment's server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The broker behind it.
    ///
    /// # Panics
    /// Where it is inside another process.
    pub fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone().expect("pipes that can be reached")
    }

    /// Creates a job.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create(&self, id: &str, spec: JobSpec) -> JobName {
        let created = self.client.create_job(request(id, spec)).await;
        created.unwrap_or_else(|error| panic!("job {id} is refused: {error}"));
        name(id)
    }

    /// Reads a job.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn job(&self, name: &JobName) -> Job {
        let job = self.client.get_job(name).await;
        job.unwrap_or_else(|error| panic!("job {name} cannot be read: {error}"))
    }

    /// The identity of a job as rows and messages have it.
    ///
    /// # Panics
    /// When there is no such job.
    pub async fn uid(&self, name: &JobName) -> JobUid {
        JobUid(Uuid::parse_str(&self.job(name).await.uid).expect("a uid"))
    }

    /// Watches a job until it is as `wanted` says.
    ///
    /// # Panics
    /// When it ends first, or cannot be watched.
    pub async fn watch_until(
        &self,
        name: &JobName,
        what: &str,
        wanted: impl Fn(&Job) -> bool,
    ) -> Job {
        let mut states = self.client.watch(name, Some(Duration::from_millis(10)));
        let mut last = None;
        while let Some(state) = states.next().await {
            let job = state.unwrap_or_else(|error| panic!("job {name} cannot be watched: {error}"));
            if wanted(&job) {
                return job;
            }
            last = Some(job);
        }
        panic!("job {name} has ended before {what}: {last:?}");
    }

    /// Watches a job to its end, and waits until nothing of it runs any more. Checks on the way
    /// that revisions rise and that the percentage does not fall.
    ///
    /// # Panics
    /// When it ends in another state.
    pub async fn finish(&self, name: &JobName, wanted: JobState) -> Job {
        let mut states = self.client.watch(name, None);
        let (mut run, mut revision, mut percentage) = (-1, -1, 0.0);
        while let Some(state) = states.next().await {
            let job = state.unwrap_or_else(|error| panic!("job {name} cannot be watched: {error}"));
            assert!(job.revision > revision, "the revision rises: {job:?}");
            let now = job.progress.as_ref().map_or(0.0, |now| now.percentage);
            assert!(
                now >= percentage || job.run > run,
                "the percentage does not fall: {percentage} and then {job:?}"
            );
            (run, revision, percentage) = (job.run, job.revision, now);
        }
        let settled = until("the job to settle", PATIENCE, || async {
            let job = self.job(name).await;
            job.settled_time.is_some().then_some(job)
        })
        .await;
        assert_eq!(settled.state(), wanted, "{settled:#?}");
        settled
    }

    /// All failures of a job's present run.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn failures(&self, name: &JobName) -> Vec<Failure> {
        // Small pages, so that paging is used.
        let failures: Result<Vec<_>, _> = self.client.failures(name, 7).try_collect().await;
        failures.unwrap_or_else(|error| panic!("the failures of {name} cannot be read: {error}"))
    }

    /// What is left in pipes and outbox.
    pub(crate) async fn left_over(&self) -> anyhow::Result<Option<String>> {
        let owed = self.store.outbox_len().await?;
        let left = match &self.broker {
            Some(broker) => left_in(broker.as_ref()).await?,
            None => Vec::new(),
        };
        let nothing = owed == 0 && left.is_empty();
        Ok((!nothing).then(|| format!("{owed} messages in the outbox; in pipes: {left:?}")))
    }

    /// Waits until nothing is left in pipes and outbox.
    pub(crate) async fn drained(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut empty = 0;
        loop {
            let late = tokio::time::Instant::now() > deadline;
            match self.left_over().await {
                // Between two queues a message is in neither: twice empty is empty.
                Ok(None) if empty > 0 => return Ok(()),
                Ok(None) => empty += 1,
                Ok(Some(left)) if late => anyhow::bail!("left over: {left}"),
                // The first use of a connection tells that its service was started again meanwhile.
                Err(error) if late => return Err(error),
                Ok(Some(_)) | Err(_) => empty = 0,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Tells everything that may explain a failure.
    pub(crate) async fn dump(&self) {
        eprintln!("--- jobs, rows and pipes of the failed test");
        let Ok(partition) = PartitionId::new("default") else {
            return;
        };
        match self
            .store
            .list_jobs(&partition, &JobFilter::default(), None, 20)
            .await
        {
            Ok(page) => {
                for view in page.jobs {
                    let job = view.job;
                    let rows = self.store.rows_of(job.meta.uid).await;
                    eprintln!(
                        "{} {} run {} control {} revision {} allowance {} settled {:?}\n  {:?}\n  rows {rows:?}",
                        job.meta.name,
                        job.state(),
                        job.run,
                        job.control,
                        job.revision,
                        job.allowance,
                        job.settled,
                        job.counts
                    );
                }
            }
            Err(error) => eprintln!("jobs cannot be listed: {error}"),
        }
        match self.left_over().await {
            Ok(left) => eprintln!("left over: {left:?}"),
            Err(error) => eprintln!("pipes cannot be looked at: {error:#}"),
        }
    }
}
