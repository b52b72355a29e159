//! Random schedules over random sources. Every transaction is checked; afterwards the world
//! behaves, and the job must end with the counts of its source.

use headway_domain::{
    batches::PageState,
    jobs::{FailurePolicy, JobSpec, Tolerance},
    reports::ItemEvent,
};
use proptest::prelude::*;

use super::{
    message::{End, Message, Task},
    source::{Tree, tree},
    store::Touch,
    world::{LEASE, WORKERS, World, spec},
};

/// One thing that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A message arrives, perhaps before others, and perhaps its worker dies over it. Reports may
    /// be taken together.
    Deliver(usize, usize, End, usize),
    /// A message is there twice.
    Duplicate(usize),
    /// A message is gone. It may come again as an old one.
    Lose(usize),
    /// A task message comes back because its worker seems to be dead.
    Redeliver(usize),
    /// A message from any time before arrives again.
    Replay(usize),
    /// The outbox is swept, perhaps though everything in it was sent already.
    Sweep(bool),
    /// A client holds the job.
    Pause(End),
    /// A client lets it go on.
    Resume(End),
    /// A client ends it.
    Cancel(End),
    /// A client runs it again.
    Retry(End),
    /// A client runs some of what failed again.
    RetrySome(u32, End),
    /// A client runs some of what failed again, while it goes on.
    Redrive(u32, End),
    /// A sweeper looks at it.
    Advance,
    /// Time passes.
    Tick(i64, End),
    /// A sweeper fires a timer that it saw some time ago.
    Fire(usize),
    /// What was not touched lately, or not at all, is released again.
    Repair(bool, End),
    /// The broker comes back empty.
    LoseBroker,
    /// What was released before the broker was lost is released again.
    SweepEpochs(End),
    /// The job's share of its pipe changes.
    Allow(u32, Option<u32>),
    /// A worker says of items that it set them aside, or dropped them, whatever the job's state.
    Lie(usize, ItemEvent),
    /// A splitter gives another answer about a page.
    Accuse(usize),
}

impl World {
    fn pick(&self, number: usize) -> Option<usize> {
        (!self.pipes.is_empty()).then(|| number % self.pipes.len())
    }

    /// Does one thing, if it can be done now.
    pub(crate) fn step(&mut self, step: &Step) {
        match step.clone() {
            Step::Deliver(at, worker, end, batch) => {
                if let Some(at) = self.pick(at) {
                    self.deliver(at, worker % WORKERS, end, batch);
                }
            }
            Step::Duplicate(at) => {
                if let Some(at) = self.pick(at) {
                    self.pipes.push(self.pipes[at].clone());
                }
            }
            Step::Lose(at) => {
                if let Some(at) = self.pick(at) {
                    self.take(at);
                    self.lossy = true;
                }
            }
            Step::Redeliver(at) => self.redeliver(at),
            Step::Replay(at) => {
                if !self.history.is_empty() {
                    let at = at % self.history.len();
                    self.pipes.push(self.history[at].clone());
                }
            }
            Step::Sweep(again) => {
                let sent = if again {
                    self.outbox.clone()
                } else {
                    Vec::new()
                };
                self.sweep();
                self.pipes.extend(sent);
            }
            Step::Pause(end) => drop(self.pause(end)),
            Step::Resume(end) => drop(self.resume(end)),
            Step::Cancel(end) => drop(self.cancel(end)),
            Step::Retry(end) => drop(self.retry(end)),
            Step::RetrySome(kept, end) => drop(self.retry_some(kept, end)),
            Step::Redrive(kept, end) => drop(self.redrive(kept, end)),
            Step::Advance => self.advance(),
            Step::Tick(by, end) => self.tick(by, end),
            Step::Fire(at) => self.fire(at),
            Step::Repair(all, end) => {
                let before = if all { self.now + 1 } else { self.now - 20_000 };
                self.repair(before, end);
            }
            Step::LoseBroker => self.lose_broker(),
            Step::SweepEpochs(end) => drop(self.sweep_epochs(end)),
            Step::Allow(allowance, grant) => self.allow(allowance, grant),
            Step::Lie(at, event) => self.say_wrongly(at, &event),
            Step::Accuse(at) => self.accuse(at),
        }
    }

    fn task(&mut self, at: usize) -> Option<&mut Task> {
        let tasks = self.pipes.iter_mut().filter_map(|message| match message {
            Message::Task(task) => Some(task),
            _ => None,
        });
        let mut tasks: Vec<&mut Task> = tasks.collect();
        let at = at.checked_rem(tasks.len())?;
        Some(tasks.swap_remove(at))
    }

    fn redeliver(&mut self, at: usize) {
        if let Some(task) = self.task(at) {
            task.redelivered = true;
        }
    }

    fn say_wrongly(&mut self, at: usize, event: &ItemEvent) {
        if let Some(task) = self.task(at).cloned() {
            self.lie(&task, at % WORKERS, event);
        }
    }

    fn fire(&mut self, at: usize) {
        if self.leaves.is_empty() {
            return;
        }
        let (page, index) = *self.leaves.keys().nth(at % self.leaves.len()).unwrap();
        self.transact(&[Touch::some(page, vec![index])], End::Sent, |slice| {
            slice.fire_items(&[(page, index)]);
        });
    }

    fn accuse(&mut self, at: usize) {
        let pages = self.store.pages.values();
        let open: Vec<u32> = pages
            .filter(|page| page.state == PageState::Open)
            .map(|page| page.number)
            .collect();
        if open.is_empty() {
            return;
        }
        let number = open[at % open.len()];
        let indexes: Vec<u32> = (0..self.store.pages[&number].count).collect();
        let keys = indexes
            .iter()
            .filter_map(|index| self.leaves.get(&(number, *index)));
        self.accused.extend(keys);
        self.transact(&[Touch::all(number)], End::Sent, |slice| {
            slice.not_reproducible(number, &indexes);
        });
    }
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![8 => Just(End::Sent), 1 => Just(End::Unsent), 1 => Just(End::Undone)]
}

/// The first message, as an orderly broker would deliver, or any.
fn any_message() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 0usize..64]
}

fn delivery() -> impl Strategy<Value = Step> {
    (any_message(), 0..WORKERS, end(), 1usize..4)
        .prop_map(|(at, worker, end, batch)| Step::Deliver(at, worker, end, batch))
}

/// What brokers, processes and clocks do.
fn weather() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => delivery(),
        4 => any_message().prop_map(Step::Duplicate),
        2 => any_message().prop_map(Step::Lose),
        3 => (0usize..1000).prop_map(Step::Replay),
        3 => any::<bool>().prop_map(Step::Sweep),
        2 => (0i64..LEASE / 3, end()).prop_map(|(by, end)| Step::Tick(by, end)),
        2 => (any::<bool>(), end()).prop_map(|(all, end)| Step::Repair(all, end)),
        1 => Just(Step::LoseBroker),
        2 => end().prop_map(Step::SweepEpochs),
        2 => (0u32..8, prop::option::weighted(0.3, 0u32..4)).prop_map(|(most, grant)| Step::Allow(most, grant)),
        1 => Just(Step::Advance),
    ]
}

/// The weather, and clients, dying workers, long waits and false splitters besides.
fn anything() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => weather(),
        2 => end().prop_map(Step::Pause),
        3 => end().prop_map(Step::Resume),
        1 => end().prop_map(Step::Cancel),
        4 => end().prop_map(Step::Retry),
        3 => (1u32..4, end()).prop_map(|(kept, end)| Step::RetrySome(kept, end)),
        3 => (1u32..4, end()).prop_map(|(kept, end)| Step::Redrive(kept, end)),
        2 => (0usize..64).prop_map(Step::Redeliver),
        1 => end().prop_map(|end| Step::Tick(2 * LEASE, end)),
        2 => (0usize..64).prop_map(Step::Fire),
        1 => (0usize..64).prop_map(|at| Step::Lie(at, ItemEvent::Discarded)),
        1 => (0usize..64).prop_map(|at| Step::Lie(at, ItemEvent::Parked)),
        1 => (0usize..64).prop_map(Step::Accuse),
    ]
}

fn any_spec() -> impl Strategy<Value = JobSpec> {
    let tolerance = prop_oneof![
        3 => Just(Tolerance::Items(0)),
        1 => (1u64..4).prop_map(Tolerance::Items),
        1 => Just(Tolerance::Percentage(30.0)),
    ];
    let stop = prop::bool::weighted(0.3);
    (tolerance, stop, 1u32..9, 1u32..4, 2u32..4).prop_map(
        |(tolerance, stop, window, per_message, attempts)| {
            let mut spec = spec();
            spec.failure_policy = FailurePolicy { tolerance, stop };
            spec.max_in_flight = window;
            spec.items_per_message = per_message;
            spec.retry_policy.max_attempts = attempts;
            spec
        },
    )
}

fn world(tree: &Tree, spec: JobSpec, loads: usize) -> World {
    let mut world = World::new(tree, spec);
    world.loads = loads;
    world.reopens = loads;
    // Half of the pipes have limits.
    world.rationed = loads.is_multiple_of(2);
    world
}

pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(200))]

    /// Whatever happens, the job ends, with one outcome for each leaf, and retries complete it.
    #[test]
    fn every_job_ends_with_exact_counts(
        tree in tree(),
        spec in any_spec(),
        loads in prop_oneof![Just(1), Just(64)],
        echo in 0usize..20,
        steps in prop::collection::vec(anything(), 0..150),
    ) {
        let mut world = world(&tree, spec, loads);
        world.echo = echo;
        for step in &steps {
            world.step(step);
        }
        world.complete();
    }

    /// Duplicates, losses, reorderings and crashes do not change what a job ends with.
    #[test]
    fn the_weather_changes_no_count(
        tree in tree(),
        spec in any_spec(),
        echo in 0usize..20,
        steps in prop::collection::vec(weather(), 0..150),
    ) {
        let mut spec = spec;
        // A job that stops at its first failure ends with whatever was out just then.
        spec.failure_policy.stop = false;
        let mut calm = world(&tree, spec.clone(), 64);
        calm.behave();
        let mut rough = world(&tree, spec, 64);
        rough.echo = echo;
        for step in &steps {
            rough.step(step);
        }
        rough.behave();
        prop_assume!(rough.failed().is_subset(&calm.failed()));
        prop_assert_eq!(&rough.job().counts, &calm.job().counts);
        prop_assert_eq!(rough.job().phase, calm.job().phase);
        prop_assert_eq!(rough.done, calm.done);
    }
}
