//! What batch workers, workers and tracking do with a message. Workers believe what the last
//! control message told them, which may be long out of date.

use std::collections::BTreeMap;

use headway_domain::{
    batches::{Forward, Item, PageState, SplitOutcome},
    jobs::Phase,
    reports::{Failed, ItemEvent, ItemReport, PageReport},
    slice::{Disposition, JobSlice},
};
use uuid::Uuid;

use super::{
    message::{End, Message, Task, TaskItem},
    source::Trouble,
    store::Touch,
    world::World,
};

impl World {
    /// Delivers a message to a worker. Unless all goes well it is delivered again later.
    pub(crate) fn deliver(&mut self, at: usize, worker: usize, end: End, batch: usize) {
        let message = self.take(at);
        if end != End::Sent {
            let mut again = message.clone();
            if let Message::Task(task) = &mut again {
                task.redelivered = true;
            }
            self.pipes.push(again);
        }
        match message {
            Message::Split { page, attempt } => self.split(page, attempt, end),
            Message::Found {
                page,
                attempt,
                found,
            } => {
                self.transact(&[Touch::split(page)], end, |slice| {
                    let before = slice.clone();
                    let outcome = match found {
                        Ok(split) => slice.record_split(page, attempt, split),
                        Err(failure) => slice.record_split_failure(page, attempt, failure),
                    };
                    if outcome == SplitOutcome::Stale {
                        unchanged(&before, slice);
                    }
                });
            }
            Message::Dispatch { page, run, indexes } => self.dispatch(page, run, &indexes, end),
            Message::Task(_) if end == End::Undone => {}
            Message::Task(task) => self.work(task, worker),
            Message::Report(report) => self.track(report, end, batch),
            Message::Control {
                worker,
                control,
                disposition,
            } => {
                if self.beliefs[worker].is_none_or(|(known, _)| known < control) {
                    self.beliefs[worker] = Some((control, disposition));
                }
            }
        }
    }

    fn split(&mut self, number: u32, attempt: u32, end: End) {
        if !self.job().is_running() {
            self.transact(&[Touch::split(number)], end, |slice| {
                slice.withhold_split(number, attempt);
            });
            return;
        }
        let Some(page) = self
            .store
            .pages
            .get(&number)
            .filter(|page| page.state == PageState::Splitting && page.attempt == attempt)
        else {
            return;
        };
        let found = self.source.split(
            self.store.definitions.get(&page.batch).map(Vec::as_slice),
            self.store.contents[&number].cursor.as_deref(),
            attempt,
            self.job().run,
            self.job().page_limit(),
        );
        self.pipes.push(Message::Found {
            page: number,
            attempt,
            found,
        });
    }

    fn dispatch(&mut self, number: u32, run: u32, indexes: &[u32], end: End) {
        if !self.job().is_running() {
            self.transact(&[Touch::some(number, indexes.to_vec())], end, |slice| {
                slice.withhold_items(number, indexes);
            });
            return;
        }
        let Some(page) = self
            .store
            .pages
            .get(&number)
            .filter(|page| page.run == run && self.store.job.run == run)
        else {
            return;
        };
        let mut groups: BTreeMap<(bool, bool, u32), Vec<TaskItem>> = BTreeMap::new();
        for index in indexes.iter().copied() {
            let row = self.store.items.get(&(number, index));
            let out = page.is_open(index)
                && index < page.released
                && !page.again.contains(index)
                && !page.parked.contains(index)
                && row.is_none_or(|row| row.rests_on_message());
            if !out {
                continue;
            }
            let item = TaskItem {
                index,
                attempt: row.map_or(page.attempt, |row| row.attempt),
                stage: row.map_or(0, |row| row.stage),
                failures: row.map_or(0, |row| row.failures),
            };
            let alone = row.is_some_and(|row| row.alone);
            let announced = alone || row.is_some_and(Item::is_announced);
            let group = groups.entry((alone, announced, item.stage));
            group.or_default().push(item);
        }
        let most = self.job().meta.spec.items_per_message as usize;
        let control = self.job().control;
        for ((alone, announced, _), items) in groups {
            for items in items.chunks(if alone { 1 } else { most }) {
                self.pipes.push(Message::Task(Task {
                    page: number,
                    run,
                    control,
                    alone,
                    announced,
                    redelivered: false,
                    items: items.to_vec(),
                }));
            }
        }
    }

    fn work(&mut self, task: Task, worker: usize) {
        let believed = self.beliefs[worker].filter(|(control, _)| *control >= task.control);
        match believed.map(|(_, disposition)| disposition) {
            Some(Disposition::Park) => return self.report(&task, worker, |_| ItemEvent::Parked),
            Some(Disposition::Discard) => {
                return self.report(&task, worker, |_| ItemEvent::Discarded);
            }
            Some(Disposition::Run) | None => {}
        }
        if task.redelivered {
            return self.report(&task, worker, |_| ItemEvent::Suspect);
        }
        if task.announced {
            self.report(&task, worker, |_| ItemEvent::Started);
        }
        let plans: BTreeMap<u32, _> = task
            .items
            .iter()
            .map(|item| {
                let plan = self.source.plan(self.leaves[&(task.page, item.index)]);
                (item.index, plan)
            })
            .collect();
        let ends = |item: &TaskItem| !plans[&item.index].forward || item.stage > 0;
        let kills =
            |item: &TaskItem| ends(item) && plans[&item.index].trouble(task.run) == Trouble::Killer;
        if task.items.iter().any(kills) {
            let redelivered = true;
            self.pipes.push(Message::Task(Task {
                redelivered,
                ..task
            }));
            return;
        }
        if plans.values().any(|plan| plan.slow) {
            self.report(&task, worker, |_| ItemEvent::Leased);
            self.report(&task, worker, |_| ItemEvent::Fraction(300_000));
        }
        self.report(&task, worker, |item| {
            if !ends(item) {
                return ItemEvent::Forward(Forward {
                    pipe: "second".into(),
                    task_type: "leaf".into(),
                    payload: Vec::new(),
                    content_type: String::new(),
                });
            }
            match plans[&item.index].trouble(task.run) {
                Trouble::Flaky(tries) if item.failures < tries => failed(true),
                Trouble::Lasting => failed(false),
                Trouble::None | Trouble::Flaky(_) | Trouble::Killer => ItemEvent::Done,
            }
        });
    }

    /// A worker says something about items that it did not run.
    pub(crate) fn lie(&mut self, task: &Task, worker: usize, event: &ItemEvent) {
        self.report(task, worker, |_| event.clone());
    }

    fn report(&mut self, task: &Task, worker: usize, event: impl Fn(&TaskItem) -> ItemEvent) {
        let mut report = PageReport {
            job: self.job().meta.uid,
            page: task.page,
            run: task.run,
            done: Vec::new(),
            items: Vec::new(),
            session: Uuid::from_u128(worker as u128),
            worker: format!("worker-{worker}"),
        };
        for item in &task.items {
            let event = event(item);
            if event == ItemEvent::Done && item.attempt == 0 && item.stage == 0 {
                report.done.push(item.index);
                continue;
            }
            report.items.push(ItemReport {
                index: item.index,
                attempt: item.attempt,
                stage: item.stage,
                event,
            });
        }
        self.pipes.push(Message::Report(report));
    }

    /// Applies a report, and others that are there, in one transaction.
    fn track(&mut self, report: PageReport, end: End, batch: usize) {
        let mut reports = vec![report];
        while reports.len() < batch {
            let next = |message: &Message| matches!(message, Message::Report(_));
            let Some(at) = self.pipes.iter().position(next) else {
                break;
            };
            let Message::Report(report) = self.take(at) else {
                break;
            };
            if end != End::Sent {
                self.outbox.push(Message::Report(report.clone()));
            }
            reports.push(report);
        }
        let mut touched = Vec::new();
        for report in &reports {
            let mut indexes = report.done.clone();
            for item in &report.items {
                indexes.push(item.index);
                if item.event == ItemEvent::Suspect {
                    let leaf = self.leaves[&(report.page, item.index)];
                    *self.doubts.entry(leaf).or_default() += 1;
                }
            }
            touched.push(Touch::some(report.page, indexes));
        }
        self.transact(&touched, end, |slice| {
            for report in &reports {
                let before = slice.clone();
                let fit = fitting(slice, report);
                let applied = slice.apply(report);
                assert!(
                    applied.applied <= fit,
                    "what does not fit the item was applied"
                );
                let ends = |item: &ItemReport| {
                    !matches!(item.event, ItemEvent::Started | ItemEvent::Fraction(_))
                };
                if report.items.iter().all(ends) {
                    assert_eq!(applied.applied, fit, "what fits the item was refused");
                }
                if applied.applied == 0 {
                    unchanged(&before, slice);
                }
            }
        });
    }
}

/// How many reports of a page equal their items' present run, attempt and stage.
fn fitting(slice: &JobSlice, report: &PageReport) -> u64 {
    let Some(page) = slice.page(report.page) else {
        return 0;
    };
    if page.state != PageState::Open || page.run != slice.job().run || report.run != page.run {
        return 0;
    }
    let fits = |(index, attempt, stage): &(u32, u32, u32)| {
        let row = slice.item(page.number, *index);
        let present = row.map_or((page.attempt, 0), |row| (row.attempt, row.stage));
        let ended = [&page.done, &page.failed, &page.discarded];
        let waits = page.parked.contains(*index) || row.is_some_and(|row| row.due.is_some());
        present == (*attempt, *stage)
            && !waits
            && *index < page.released
            && !page.again.contains(*index)
            && !ended.iter().any(|set| set.contains(*index))
    };
    // A copy that is handed back says nothing of the item that runs elsewhere under a lease.
    let drops = matches!(slice.job().phase, Phase::Cancelled | Phase::Failed);
    let is_copy = |item: &&ItemReport| {
        let row = slice.item(page.number, item.index);
        let lease = row.and_then(|row| row.lease);
        matches!(item.event, ItemEvent::Parked | ItemEvent::Discarded)
            && lease.is_some_and(|lease| lease.session != report.session)
            && !drops
    };
    let done = report.done.iter().map(|index| (*index, 0, 0));
    let others = report
        .items
        .iter()
        .filter(|item| !is_copy(item))
        .map(|item| (item.index, item.attempt, item.stage));
    done.chain(others).filter(fits).count() as u64
}

/// What does not count must not leave a trace, not even a new revision.
fn unchanged(before: &JobSlice, after: &JobSlice) {
    assert_eq!(
        before.job(),
        after.job(),
        "what came too late moved a counter"
    );
    assert_eq!(
        before.has_changed(),
        after.has_changed(),
        "what came too late counts as a change"
    );
    assert_eq!(before.page_rows(), after.page_rows());
    assert_eq!(before.item_rows(), after.item_rows());
    assert_eq!(before.effects(), after.effects());
    assert_eq!(before.failures(), after.failures());
}

fn failed(retryable: bool) -> ItemEvent {
    ItemEvent::Failed(Failed {
        retryable,
        code: "LEAF".into(),
        message: "as planned".into(),
        details: String::new(),
    })
}
