//! Measures jobs of one partition alone and beside a bad neighbour, and judges what the neighbour
//! costs them.
//!
//! The worker of the measured jobs bounds their rate, to less than half of what two processors make
//! possible. So a measured job does not slow down because its neighbour uses processors too, which
//! no limit of Headway gives back, but it does where it has to wait for its neighbour.

use std::time::{Duration, Instant};

use headway::v1::{Job, JobSpec, JobState};
use headway_client::{JobName, create_request};
use headway_tests::{Deployment, Harness, Record, handlers::slow, range};

/// How long the worker of the measured jobs takes for an item.
pub(crate) const ITEM_TIME: Duration = Duration::from_millis(20);
/// Items that it runs at once.
pub(crate) const CONCURRENCY: usize = 32;
/// Items of a measured job: it takes about a second.
const ITEMS: u32 = 1600;
/// How much later than alone a job may be created, and its first item done.
const LATER: Duration = Duration::from_secs(1);
/// The part of its rate alone that a job keeps.
const KEPT: f64 = 0.8;
/// Jobs that are measured alone. Other programs use this machine too: they only ever slow a job down,
/// so the quickest job shows what Headway can do.
const ALONE: usize = 3;
/// Jobs at most that are measured beside the neighbour. The first that is quick enough is the last.
const BESIDE: usize = 7;

/// How long a job took, from the request to create it.
#[derive(Debug, Clone, Copy)]
struct Times {
    created: Duration,
    first_done: Duration,
    ended: Duration,
}

impl Times {
    /// The shortest of each.
    fn best(all: &[Self]) -> Self {
        let best = |time: fn(&Self) -> Duration| all.iter().map(time).min().unwrap_or_default();
        Self {
            created: best(|times| times.created),
            first_done: best(|times| times.first_done),
            ended: best(|times| times.ended),
        }
    }

    /// The longer of each.
    fn longer(self, other: Self) -> Self {
        Self {
            created: self.created.max(other.created),
            first_done: self.first_done.max(other.first_done),
            ended: self.ended.max(other.ended),
        }
    }

    /// Whether this, beside a bad neighbour, is within the bounds that the times alone set.
    fn unhurt(self, alone: Self) -> bool {
        self.created <= alone.created + LATER
            && self.first_done <= alone.first_done + LATER
            && self.ended.mul_f64(KEPT) <= alone.ended
    }
}

/// Jobs of the partition `good` that were measured before the bad neighbour came, and beside it.
#[derive(Debug)]
pub(crate) struct Measured {
    before: Vec<Times>,
    beside: Vec<Times>,
}

impl Measured {
    /// Starts the worker of the measured jobs, in this process, and measures jobs alone.
    pub(crate) async fn with_worker(d: &Deployment) -> Self {
        d.worker(|worker| {
            worker
                .concurrency(CONCURRENCY)
                .handler(slow(&Record::default(), ITEM_TIME))
        });
        Self::alone(d).await
    }

    /// Measures jobs alone. A worker must consume [`headway_tests::WORK`], with [`CONCURRENCY`] and
    /// [`ITEM_TIME`].
    pub(crate) async fn alone(d: &Harness) -> Self {
        // The first job makes the queues and the connections.
        measure(d, "first").await;
        Self {
            before: alone(d, "before").await,
            beside: Vec::new(),
        }
    }

    /// Measures jobs beside the bad neighbour that is there now.
    pub(crate) async fn beside(&mut self, d: &Harness) {
        let before = Times::best(&self.before);
        while self.beside.len() < BESIDE {
            let id = format!("beside-{}", self.beside.len());
            self.beside.push(measure(d, &id).await);
            if Times::best(&self.beside).unhurt(before) {
                break;
            }
        }
        eprintln!("beside: {:?}", Times::best(&self.beside));
    }

    /// Judges, once the bad neighbour is gone. If the jobs beside it were too slow, the machine may
    /// have become slower meanwhile: then jobs are measured alone once more, and the slower of both
    /// counts.
    ///
    /// # Panics
    /// When the neighbour cost the jobs more than the bounds.
    pub(crate) async fn judge(self, d: &Harness) {
        let beside = Times::best(&self.beside);
        let before = Times::best(&self.before);
        if beside.unhurt(before) {
            return;
        }
        let after = alone(d, "after").await;
        assert!(
            beside.unhurt(before.longer(Times::best(&after))),
            "{self:#?}, after {after:#?}"
        );
    }
}

/// Measures jobs without a neighbour.
async fn alone(d: &Harness, id: &str) -> Vec<Times> {
    let mut all = Vec::new();
    for round in 0..ALONE {
        all.push(measure(d, &format!("{id}-{round}")).await);
    }
    eprintln!("{id}: {:?}", Times::best(&all));
    all
}

/// Runs a job to its end.
async fn measure(d: &Harness, id: &str) -> Times {
    let begun = Instant::now();
    let name = create(d, "good", id, range(ITEMS, 250).build()).await;
    let created = begun.elapsed();
    let items_done = |job: &Job| job.progress.unwrap_or_default().items_done;
    d.watch_until(&name, "its first item", |job| items_done(job) > 0)
        .await;
    let first_done = begun.elapsed();
    let job = d.finish(&name, JobState::Completed).await;
    let ended = begun.elapsed();
    assert_eq!(items_done(&job), i64::from(ITEMS));
    Times {
        created,
        first_done,
        ended,
    }
}

/// Creates a job.
///
/// # Panics
/// When it is refused.
pub(crate) async fn create(d: &Harness, partition: &str, id: &str, spec: JobSpec) -> JobName {
    let request = headway::v1::CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, spec)
    };
    let created = d.client().create_job(request).await;
    created.unwrap_or_else(|error| panic!("job {id} is refused: {error}"));
    JobName::new(partition, id).expect("the id of a job")
}
