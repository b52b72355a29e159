//! Measures jobs of one partition alone and beside a bad neighbour, and judges what the neighbour costs them.

use std::time::{Duration, Instant};

use headway::v1::{Job, JobSpec, JobState};
use headway_client::{JobName, create_request};
use headway_tests::{Harness, range};

/// Items of the first jobs, by which the others are made as large as takes about [`LENGTH`].
const FIRST_ITEMS: u32 = 1000;
/// Jobs that take longer tell more about their rate, and the tests take longer.
const LENGTH: Duration = Duration::from_secs(1);
const MOST_ITEMS: f64 = 20_000.0;
/// How much later than alone a job may be created, and its first item done.
const LATER: Duration = Duration::from_secs(1);
/// The part of its rate alone that a job keeps.
const KEPT: f64 = 0.8;
/// Measured jobs of each kind. Other programs use this machine too: they only ever slow a job down,
/// so the quickest job shows what Headway can do.
const ROUNDS: usize = 3;
/// Jobs that are measured beside the neighbour if the first of them are too slow.
const MORE_ROUNDS: usize = 4;

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
pub struct Measured {
    items: u32,
    before: Vec<Times>,
    beside: Vec<Times>,
}

impl Measured {
    /// Measures jobs alone. A worker must consume [`headway_tests::WORK`].
    pub async fn alone(d: &Harness) -> Self {
        // The first job makes the queues and the connections.
        measure(d, "first", FIRST_ITEMS).await;
        let second = measure(d, "second", FIRST_ITEMS).await;
        let rate = f64::from(FIRST_ITEMS) / second.ended.as_secs_f64();
        let items = (rate * LENGTH.as_secs_f64()).clamp(f64::from(FIRST_ITEMS), MOST_ITEMS);
        let mut measured = Self {
            items: items as u32,
            before: Vec::new(),
            beside: Vec::new(),
        };
        measured.before = measured.rounds(d, "before", ROUNDS).await;
        measured
    }

    /// Measures jobs beside the bad neighbour that is there now.
    pub async fn beside(&mut self, d: &Harness) {
        self.beside = self.rounds(d, "beside", ROUNDS).await;
        if !Times::best(&self.beside).unhurt(Times::best(&self.before)) {
            let more = self.rounds(d, "more", MORE_ROUNDS).await;
            self.beside.extend(more);
        }
    }

    /// Judges, once the bad neighbour is gone. If the jobs beside it were too slow, the machine may have become slower
    /// meanwhile: then jobs are measured alone once more, and the slower of both counts.
    ///
    /// # Panics
    /// When the neighbour cost the jobs more than the bounds.
    pub async fn judge(self, d: &Harness) {
        let beside = Times::best(&self.beside);
        let before = Times::best(&self.before);
        if beside.unhurt(before) {
            return;
        }
        let after = self.rounds(d, "after", ROUNDS).await;
        assert!(
            beside.unhurt(before.longer(Times::best(&after))),
            "{self:#?}, after {after:#?}"
        );
    }

    async fn rounds(&self, d: &Harness, id: &str, rounds: usize) -> Vec<Times> {
        let mut all = Vec::new();
        for round in 0..rounds {
            all.push(measure(d, &format!("{id}-{round}"), self.items).await);
        }
        eprintln!("{id}: {} items, {:?}", self.items, Times::best(&all));
        all
    }
}

/// Runs a job to its end.
async fn measure(d: &Harness, id: &str, items: u32) -> Times {
    let begun = Instant::now();
    let name = create(d, "good", id, range(items, 250).build()).await;
    let created = begun.elapsed();
    let items_done = |job: &Job| job.progress.unwrap_or_default().items_done;
    d.watch_until(&name, "its first item", |job| items_done(job) > 0)
        .await;
    let first_done = begun.elapsed();
    let job = d.finish(&name, JobState::Completed).await;
    let ended = begun.elapsed();
    assert_eq!(items_done(&job), i64::from(items));
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
pub async fn create(d: &Harness, partition: &str, id: &str, spec: JobSpec) -> JobName {
    let request = headway::v1::CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, spec)
    };
    let created = d.client().create_job(request).await;
    created.unwrap_or_else(|error| panic!("job {id} is refused: {error}"));
    JobName::new(partition, id).expect("the id of a job")
}
