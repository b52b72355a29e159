//! A job's world: its rows, the messages in pipes, the outbox, what workers believe, and time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use headway_domain::{
    Job, JobId, JobName, JobSlice, JobUid, Micros, PartitionId, PipeName,
    batches::PageState,
    jobs::{BatchSpec, JobMeta, JobSpec, Work},
    pipes::Share,
    slice::{Disposition, Effect, Moment},
};
use uuid::Uuid;

use super::{
    check::{Before, check},
    message::{End, Message},
    source::{LeafId, Source, Tree},
    store::{Store, Touch},
};

/// Workers that run items; each has its own belief about the job.
pub(crate) const WORKERS: usize = 3;
/// How long a lease lasts.
pub(crate) const LEASE: Micros = 60_000_000;
/// Messages remembered, to come again later.
const HISTORY: usize = 300;

/// Everything about one job.
#[derive(Debug)]
pub(crate) struct World {
    pub source: Source,
    pub store: Store,
    pub pipes: Vec<Message>,
    pub outbox: Vec<Message>,
    pub history: Vec<Message>,
    pub beliefs: [Option<(u32, Disposition)>; WORKERS],
    pub now: Micros,
    pub epoch: i64,
    /// Pages of a kind that one load gives at most.
    pub loads: usize,
    /// Whether the pipe of the job has limits.
    pub rationed: bool,
    /// Pages of an older run that one transaction opens again at most.
    pub reopens: usize,
    /// After how many other deliveries answers arrive again when all else is well; 0 for never.
    pub echo: usize,
    /// Whether work may rest on a message that is gone.
    pub lossy: bool,
    /// Leaves by page and index, also of pages that are gone.
    pub leaves: BTreeMap<(u32, u32), LeafId>,
    /// Leaves whose done bit was set.
    pub done: BTreeSet<LeafId>,
    /// How often a leaf was suspected or lost its lease.
    pub doubts: BTreeMap<LeafId, u32>,
    /// Leaves that a splitter gave another answer about.
    pub accused: BTreeSet<LeafId>,
}

/// A spec over a source with small limits.
pub(crate) fn spec() -> JobSpec {
    let mut spec = JobSpec::new(Work::Batch(BatchSpec {
        splitter: "tree".into(),
        definition: Vec::new(),
        parameters: serde_json::Value::Null,
        pipe: PipeName::new("leaves").unwrap(),
        task_type: "leaf".into(),
        payload: None,
        headers: BTreeMap::new(),
    }));
    spec.retry_policy.max_attempts = 3;
    spec.max_in_flight = 5;
    spec
}

fn sends(effect: &Effect, (number, index): (u32, u32)) -> bool {
    matches!(effect, Effect::Dispatch { page, indexes }
        if *page == number && indexes.contains(&index))
}

impl World {
    /// Creates the job; its first page goes to a batch worker.
    pub(crate) fn new(tree: &Tree, spec: JobSpec) -> Self {
        let meta = Arc::new(JobMeta {
            key: 1,
            uid: JobUid(Uuid::from_u128(0x51)),
            name: JobName {
                partition: PartitionId::new("acme").unwrap(),
                job: JobId::new("tree").unwrap(),
            },
            shard: 0,
            spec,
            creator: String::new(),
            created: 1_000_000,
            version: 0,
        });
        let mut world = Self {
            source: Source::new(tree),
            store: Store::new(Job::new(Arc::clone(&meta), 0)),
            pipes: Vec::new(),
            outbox: Vec::new(),
            history: Vec::new(),
            beliefs: [None; WORKERS],
            now: 1_000_000,
            epoch: 1,
            loads: 64,
            rationed: false,
            reopens: usize::MAX,
            echo: 0,
            lossy: false,
            leaves: BTreeMap::new(),
            done: BTreeSet::new(),
            doubts: BTreeMap::new(),
            accused: BTreeSet::new(),
        };
        let allowance = meta.spec.max_in_flight;
        let slice = JobSlice::create(meta, allowance, world.moment());
        world.finish(slice, End::Sent);
        world
    }

    /// The job.
    pub(crate) fn job(&self) -> &Job {
        &self.store.job
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            epoch: self.epoch,
            lease: LEASE,
            splits: 3,
            limited: self.rationed,
        }
    }

    /// One transaction: loads, changes, advances, and ends as told.
    pub(crate) fn transact<R>(
        &mut self,
        touched: &[Touch],
        end: End,
        change: impl FnOnce(&mut JobSlice) -> R,
    ) -> R {
        let mut slice = self.store.open(self.moment(), touched);
        self.store.load_batches(&mut slice);
        let result = change(&mut slice);
        self.finish(slice, end);
        result
    }

    pub(crate) fn finish(&mut self, mut slice: JobSlice, end: End) {
        self.store.settle(&mut slice, self.loads, self.reopens);
        if end == End::Undone {
            return;
        }
        // Time passes between transactions, so that `touched` tells them apart.
        self.now += 1_000;
        if !slice.has_changed() {
            // Commits nothing, which it checks.
            assert!(self.store.commit(slice).is_empty());
            return;
        }
        let before = Before::of(&self.store);
        let effects = self.store.commit(slice);
        let run = self.job().run;
        for effect in effects {
            match effect {
                Effect::Split { page, attempt } => {
                    self.outbox.push(Message::Split { page, attempt });
                }
                Effect::Dispatch { page, indexes } => {
                    assert!(!indexes.is_empty() && indexes.is_sorted());
                    self.outbox.push(Message::Dispatch { page, run, indexes });
                }
                Effect::Control {
                    control,
                    disposition,
                } if end == End::Sent => {
                    self.pipes
                        .extend((0..WORKERS).map(|worker| Message::Control {
                            worker,
                            control,
                            disposition,
                        }));
                }
                Effect::Control { .. } => {}
            }
        }
        if end == End::Sent {
            self.sweep();
        }
        self.learn();
        check(self, &before);
    }

    /// Remembers which leaf is behind which child, and that each is behind one alone.
    fn learn(&mut self) {
        for (number, page) in &self.store.pages {
            if page.state != PageState::Open {
                continue;
            }
            let definition = self.store.definitions.get(&page.batch);
            let cursor = self.store.contents[number].cursor.as_deref();
            for index in (0..page.count).filter(|index| !page.sub.contains(*index)) {
                let leaf = self
                    .source
                    .leaf(definition.map(Vec::as_slice), cursor, index)
                    .expect("a child that the source does not have");
                self.leaves.insert((*number, index), leaf);
            }
        }
    }

    /// Sends what the outbox holds.
    pub(crate) fn sweep(&mut self) {
        self.pipes.append(&mut self.outbox);
    }

    /// Takes a message out of its pipe.
    pub(crate) fn take(&mut self, at: usize) -> Message {
        let message = self.pipes.remove(at);
        self.remember(&message);
        message
    }

    pub(crate) fn remember(&mut self, message: &Message) {
        if self.history.len() < HISTORY {
            self.history.push(message.clone());
        }
    }

    /// A sweeper that looks at idle jobs.
    pub(crate) fn advance(&mut self) {
        self.transact(&[], End::Sent, |_| {});
    }

    /// Gives the job another share of its pipe.
    pub(crate) fn allow(&mut self, allowance: u32, grant: Option<u32>) {
        self.transact(&[], End::Sent, |slice| {
            slice.set_share(Share { allowance, grant });
        });
    }

    /// Whether the job may not send anything.
    pub(crate) fn is_starved(&self) -> bool {
        self.job().limit() == 0 || self.job().tokens == Some(0)
    }

    /// Lets time pass and fires what is due, a few rows in each transaction.
    pub(crate) fn tick(&mut self, by: Micros, end: End) {
        self.now += by;
        let now = self.now;
        let due: Vec<(u32, u32)> = self
            .store
            .items
            .values()
            .filter(|item| {
                item.due.is_some_and(|due| due <= now)
                    || item.lease.is_some_and(|lease| lease.until <= now)
            })
            .map(|item| (item.page, item.index))
            .collect();
        for items in due.chunks(4) {
            for key in items {
                // An earlier transaction of this loop may have ended the item, or one the sweeper
                // raced.
                if self
                    .store
                    .items
                    .get(key)
                    .is_some_and(|item| item.lease.is_some())
                {
                    *self.doubts.entry(self.leaves[key]).or_default() += 1;
                }
            }
            let touched: Vec<Touch> = items
                .iter()
                .map(|(page, index)| Touch::some(*page, vec![*index]))
                .collect();
            self.transact(&touched, end, |slice| slice.fire_items(items));
        }
        let pages: Vec<u32> = self
            .store
            .pages
            .values()
            .filter(|page| page.due.is_some_and(|due| due <= now))
            .map(|page| page.number)
            .collect();
        let touched: Vec<Touch> = pages.iter().map(|page| Touch::split(*page)).collect();
        self.transact(&touched, end, |slice| slice.fire_pages(&pages));
    }

    /// When the next timer or lease is over.
    pub(crate) fn next_timer(&self) -> Option<Micros> {
        let items = self.store.items.values();
        let items = items.filter_map(|item| item.due.or(item.lease.map(|lease| lease.until)));
        let pages = self.store.pages.values().filter_map(|page| page.due);
        items.chain(pages).min()
    }

    /// Repairs what was not touched since `before`, a few pages in each transaction.
    pub(crate) fn repair(&mut self, before: Micros, end: End) {
        let pages: Vec<u32> = self.store.pages.keys().copied().collect();
        self.repair_pages(&pages, before, end);
    }

    fn repair_pages(&mut self, pages: &[u32], before: Micros, end: End) {
        for pages in pages.chunks(3) {
            let touched: Vec<Touch> = pages.iter().map(|page| Touch::all(*page)).collect();
            self.transact(&touched, end, |slice| {
                let items = slice.item_rows().clone();
                slice.repair(pages, before);
                // What has a timer or lease is not lost with a message.
                for (key, item) in items {
                    if !item.row.rests_on_message() {
                        assert_eq!(slice.item_rows()[&key], item);
                        assert!(!slice.effects().iter().any(|effect| sends(effect, key)));
                    }
                }
            });
        }
    }

    /// The broker loses its data: all messages are gone, and another epoch begins.
    pub(crate) fn lose_broker(&mut self) {
        for message in std::mem::take(&mut self.pipes) {
            self.remember(&message);
        }
        self.epoch += 1;
    }

    /// Releases again what was released in an older epoch, and nothing else: whether there was
    /// anything.
    pub(crate) fn sweep_epochs(&mut self, end: End) -> bool {
        let stale = self.store.pages.values().filter(|page| {
            let out = match page.state {
                PageState::Splitting => true,
                PageState::Open => page.released > 0,
                PageState::Unsplit | PageState::Retained | PageState::SplitFailed => false,
            };
            out && page.run == self.store.job.run && page.epoch < self.epoch
        });
        let stale: Vec<u32> = stale.map(|page| page.number).collect();
        self.repair_pages(&stale, 0, end);
        !stale.is_empty()
    }
}
