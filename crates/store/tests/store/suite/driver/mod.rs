//! Plays batch workers, workers and timers on top of a store, so that whole jobs run through it.
//! What would travel through a broker stands in two queues that a test may lose, double or reorder.

mod tree;

pub(crate) use tree::{Node, Tree, flat};

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use headway_domain::{
    JobName, JobUid,
    batches::Forward,
    jobs::{Job, JobSpec},
    reports::{Applied, ItemEvent, ItemReport, PageReport},
};
use headway_store::{
    AppliedReports, Committed, Control, DispatchPlan, OutboxKind, OutboxMessage, PlannedItem,
    SplitPlan, Store,
};
use uuid::Uuid;

use crate::suite::{name, new_job};

/// The session of every report.
pub(crate) const SESSION: Uuid = Uuid::from_u128(7);

/// An item at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub uid: JobUid,
    pub page: u32,
    pub run: u32,
    pub index: u32,
    pub attempt: u32,
    pub stage: u32,
    pub failures: u32,
    pub announced: bool,
    pub alone: bool,
    pub forward: Option<Forward>,
}

impl Task {
    pub(crate) fn new(uid: JobUid, page: u32, run: u32, item: PlannedItem) -> Self {
        Self {
            uid,
            page,
            run,
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            failures: item.failures,
            announced: item.announced,
            alone: item.alone,
            forward: item.forward,
        }
    }
}

/// Batch workers, workers and timers in one.
pub(crate) struct Driver {
    pub store: Store,
    /// Messages on their way to batch workers.
    pub outbox: VecDeque<OutboxMessage>,
    /// Items on their way to workers.
    pub tasks: VecDeque<Task>,
    /// Broadcasts.
    pub controls: Vec<Control>,
    /// The most items that were out at once.
    pub most_out: usize,
    trees: HashMap<JobUid, Arc<Tree>>,
    revisions: HashMap<JobUid, i64>,
}

/// A job that the driver created.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub name: JobName,
    pub uid: JobUid,
    pub key: i64,
}

impl Driver {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            outbox: VecDeque::new(),
            tasks: VecDeque::new(),
            controls: Vec::new(),
            most_out: 0,
            trees: HashMap::new(),
            revisions: HashMap::new(),
        }
    }

    /// The same with another handle on the same tables.
    pub(crate) fn over(self, store: &Store) -> Self {
        Self {
            store: store.clone(),
            ..self
        }
    }

    /// Creates a job with a name of its own. Its messages stand in `owed`.
    pub(crate) async fn create(&mut self, spec: JobSpec, tree: Tree) -> Started {
        let name = name(&Uuid::new_v4().to_string());
        let created = self.store.create_job(new_job(name.clone(), spec)).await;
        let created = created.unwrap();
        assert!(!created.existed);
        let meta = &created.view.job.meta;
        let started = Started {
            name,
            uid: meta.uid,
            key: meta.key,
        };
        self.trees.insert(started.uid, Arc::new(tree));
        self.take(created.committed);
        started
    }

    /// Creates a job with all the credit there is, and sends what its window releases at first.
    pub(crate) async fn begin(&mut self, spec: JobSpec, tree: Tree) -> Started {
        let started = self.create(spec, tree).await;
        self.take_credit(&started).await;
        self.pump().await;
        started
    }

    /// Keeps what a commit owes; revisions must rise.
    pub(crate) fn take(&mut self, committed: Committed) {
        self.outbox.extend(committed.outbox);
        self.controls.extend(committed.controls);
        for change in committed.changes.iter().filter(|change| !change.deleted) {
            let before = self.revisions.insert(change.uid, change.revision);
            assert!(before.is_none_or(|before| before < change.revision));
        }
    }

    /// The job as it is now.
    pub(crate) async fn job(&self, started: &Started) -> Job {
        self.store
            .job_state(started.uid)
            .await
            .unwrap()
            .unwrap()
            .job
    }

    /// Plays the batch worker until the outbox is empty.
    pub(crate) async fn pump(&mut self) {
        let mut served = Vec::new();
        while let Some(message) = self.outbox.pop_front() {
            self.serve(&message).await;
            served.push(message.id);
            self.most_out = self.most_out.max(self.tasks.len());
        }
        self.store.outbox_sent(&served).await.unwrap();
    }

    /// Plays the batch worker for one message, without forgetting it.
    pub(crate) async fn serve(&mut self, message: &OutboxMessage) {
        match message.kind {
            OutboxKind::Split => {
                self.serve_split(message.uid, message.page, message.attempt)
                    .await
            }
            OutboxKind::Dispatch => {
                let indexes: Vec<u32> = message.indexes.iter().collect();
                let plan = self
                    .store
                    .plan_dispatch(message.uid, message.page, &indexes)
                    .await
                    .unwrap();
                if let Some(plan) = plan {
                    self.send(message.uid, plan);
                }
            }
        }
    }

    async fn serve_split(&mut self, uid: JobUid, page: u32, attempt: u32) {
        let source = match self.store.plan_split(uid, page, attempt).await.unwrap() {
            SplitPlan::Split(source) => source,
            SplitPlan::Dispatch(plan) => return self.send(uid, plan),
            SplitPlan::Nothing(committed) => return self.take(committed),
        };
        let split = self.trees[&uid].split(&source);
        let result = self
            .store
            .record_split(&source, attempt, split)
            .await
            .unwrap();
        self.take(result.committed);
        let Some(release) = result.release else {
            return;
        };
        for index in release.indexes.iter() {
            self.tasks.push_back(Task {
                uid,
                page,
                run: release.run,
                index,
                attempt,
                stage: 0,
                failures: 0,
                announced: false,
                alone: false,
                forward: None,
            });
        }
    }

    fn send(&mut self, uid: JobUid, plan: DispatchPlan) {
        let (page, run) = (plan.source.page, plan.run);
        self.tasks.extend(
            plan.items
                .into_iter()
                .map(|item| Task::new(uid, page, run, item)),
        );
        self.take(plan.committed);
    }

    /// Takes every item that is out.
    pub(crate) fn take_tasks(&mut self) -> Vec<Task> {
        self.tasks.drain(..).collect()
    }

    /// Applies reports, again where another transaction held the job, and keeps its messages.
    pub(crate) async fn report(&mut self, reports: Vec<PageReport>) -> AppliedReports {
        let mut all = AppliedReports::default();
        let mut rest = reports;
        while !rest.is_empty() {
            let tracked = self.store.apply_reports(&rest).await.unwrap();
            self.take(tracked.committed.clone());
            all.applied.applied += tracked.applied.applied;
            all.applied.stale += tracked.applied.stale;
            all.applied.drained += tracked.applied.drained;
            all.drained.extend(tracked.drained);
            rest = tracked
                .left
                .iter()
                .map(|position| rest[*position].clone())
                .collect();
            if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        all
    }

    /// Plays workers that say this about their items.
    pub(crate) async fn answer(
        &mut self,
        tasks: &[Task],
        event: impl Fn(&Task) -> ItemEvent,
    ) -> Applied {
        self.report(reports(tasks, event)).await.applied
    }

    /// Says the same about one item.
    pub(crate) async fn say(&mut self, task: &Task, event: ItemEvent) -> Applied {
        self.answer(std::slice::from_ref(task), |_| event.clone())
            .await
    }

    /// Sends what is due, if anything is.
    pub(crate) async fn fire(&mut self) {
        for shard in 0..self.store.shards() {
            let due = self.store.next_due(shard).await.unwrap().first();
            if due.is_some_and(|due| due <= self.store.now()) {
                let (committed, _) = self.store.fire_items(shard, i64::MAX).await.unwrap();
                self.take(committed);
            }
        }
        let committed = self.store.fire_pages().await.unwrap();
        self.take(committed);
    }

    /// Plays all roles until the job has settled.
    pub(crate) async fn finish(
        &mut self,
        started: &Started,
        event: impl Fn(&Task) -> ItemEvent,
    ) -> Job {
        loop {
            self.pump().await;
            let tasks = self.take_tasks();
            if !tasks.is_empty() {
                self.answer(&tasks, &event).await;
                continue;
            }
            let job = self.job(started).await;
            if job.settled.is_some() {
                return job;
            }
            self.await_clock().await;
            self.fire().await;
        }
    }

    /// Lets the database's clock pass a millisecond, which delays are measured in.
    pub(crate) async fn await_clock(&self) {
        let begun = self.store.now();
        while self.store.now() <= begun + 1000 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Plays all roles with items that end well.
    pub(crate) async fn finish_well(&mut self, started: &Started) -> Job {
        self.finish(started, |_| ItemEvent::Done).await
    }
}

/// What workers would report about these items, by page.
pub(crate) fn reports(tasks: &[Task], event: impl Fn(&Task) -> ItemEvent) -> Vec<PageReport> {
    let mut pages: BTreeMap<(JobUid, u32, u32), PageReport> = BTreeMap::new();
    for task in tasks {
        let report = pages
            .entry((task.uid, task.page, task.run))
            .or_insert_with(|| PageReport {
                job: task.uid,
                page: task.page,
                run: task.run,
                done: Vec::new(),
                items: Vec::new(),
                session: SESSION,
                worker: "worker-1".to_owned(),
            });
        match event(task) {
            ItemEvent::Done if task.attempt == 0 && task.stage == 0 => report.done.push(task.index),
            event => report.items.push(ItemReport {
                index: task.index,
                attempt: task.attempt,
                stage: task.stage,
                event,
            }),
        }
    }
    pages.into_values().collect()
}
