//! A fleet of workers as the SDK is: each process has slots and a prefetch, announces what it must,
//! runs suspects alone, and dies of killers or from outside, with all that it held and all that it
//! did not report yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use headway_domain::reports::ItemEvent;
use proptest::prelude::*;

use super::{
    message::{End, Message, Task, TaskItem},
    source::{LeafId, Plan, Tree, Trouble},
    world::{World, spec},
};

const KILLER: Plan = Plan {
    trouble: Trouble::Killer,
    until: 1,
    ..Plan::GOOD
};

/// An item at a process.
#[derive(Debug, Clone)]
struct Work {
    /// The number of its delivery.
    delivery: usize,
    task: Task,
    item: TaskItem,
}

/// A worker process.
#[derive(Debug, Default)]
struct Process {
    /// Deliveries by number, and how many of their items have no report yet.
    held: BTreeMap<usize, (Task, usize)>,
    ready: VecDeque<Work>,
    announced: VecDeque<Work>,
    alone: VecDeque<Work>,
    running: Vec<Work>,
    /// Done, but not reported yet.
    finished: Vec<Work>,
}

impl Process {
    /// Whether an item runs alone, or did and its outcome is not on record.
    fn runs_alone(&self) -> bool {
        let mut works = self.running.iter().chain(&self.finished);
        works.any(|work| work.task.alone)
    }
}

/// Random numbers of a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }
}

struct Fleet {
    world: World,
    processes: Vec<Process>,
    slots: usize,
    dice: Dice,
    deliveries: usize,
    runs: BTreeMap<LeafId, u32>,
    deaths: u32,
    /// Leaves that ran alone when their process was killed from outside.
    unlucky: BTreeSet<LeafId>,
}

impl Fleet {
    fn leaf(&self, work: &Work) -> LeafId {
        self.world.leaves[&(work.task.page, work.item.index)]
    }

    fn say(&mut self, at: usize, work: &Work, event: &ItemEvent) {
        let task = Task {
            items: vec![work.item.clone()],
            ..work.task.clone()
        };
        self.world.lie(&task, at, event);
    }

    /// Everything but workers does its next thing.
    fn plumb(&mut self) -> bool {
        let at = self
            .world
            .pipes
            .iter()
            .position(|message| !matches!(message, Message::Task(_)));
        let Some(at) = at else {
            return false;
        };
        let batch = 1 + self.dice.below(20);
        self.world.deliver(at, 0, End::Sent, batch);
        true
    }

    fn receive(&mut self, at: usize) {
        if self.processes[at].held.len() >= 2 * self.slots {
            return;
        }
        let is_task = |message: &Message| matches!(message, Message::Task(_));
        let Some(first) = self.world.pipes.iter().position(is_task) else {
            return;
        };
        let Message::Task(task) = self.world.take(first) else {
            return;
        };
        if task.redelivered {
            self.world.lie(&task, at, &ItemEvent::Suspect);
            return;
        }
        self.deliveries += 1;
        let delivery = self.deliveries;
        let process = &mut self.processes[at];
        for item in &task.items {
            let (task, item) = (task.clone(), item.clone());
            let queue = match (task.alone, task.announced) {
                (true, _) => &mut process.alone,
                (false, true) => &mut process.announced,
                (false, false) => &mut process.ready,
            };
            queue.push_back(Work {
                delivery,
                task,
                item,
            });
        }
        let items = task.items.len();
        process.held.insert(delivery, (task, items));
    }

    fn start(&mut self, at: usize) {
        let luck = self.dice.below(3);
        let process = &mut self.processes[at];
        if process.runs_alone() || process.running.len() >= self.slots {
            return;
        }
        let work = match luck {
            0 if process.running.is_empty() && process.finished.is_empty() => {
                process.alone.pop_front()
            }
            1 => process.announced.pop_front(),
            _ => process.ready.pop_front(),
        };
        let Some(work) = work else {
            return;
        };
        process.running.push(work.clone());
        if work.task.announced {
            self.say(at, &work, &ItemEvent::Started);
        }
        *self.runs.entry(self.leaf(&work)).or_default() += 1;
    }

    fn finish(&mut self, at: usize) {
        let count = self.processes[at].running.len();
        if count == 0 {
            return;
        }
        let which = self.dice.below(count);
        let work = self.processes[at].running[which].clone();
        if self.world.source.plan(self.leaf(&work)) == KILLER {
            self.die(at);
            return;
        }
        let process = &mut self.processes[at];
        process.running.swap_remove(which);
        process.finished.push(work);
    }

    fn report(&mut self, at: usize) {
        for work in std::mem::take(&mut self.processes[at].finished) {
            self.say(at, &work, &ItemEvent::Done);
            let process = &mut self.processes[at];
            let (_, open) = process.held.get_mut(&work.delivery).expect("is held");
            *open -= 1;
            if *open == 0 {
                process.held.remove(&work.delivery);
            }
        }
    }

    /// What the process held comes again, before everything else.
    fn die(&mut self, at: usize) {
        let process = std::mem::take(&mut self.processes[at]);
        self.deaths += 1;
        let held = process.held.into_values().map(|(task, _)| {
            let redelivered = true;
            Message::Task(Task {
                redelivered,
                ..task
            })
        });
        self.world.pipes.splice(0..0, held);
    }

    fn kill(&mut self, at: usize) {
        let alone: Vec<Work> = self.processes[at]
            .running
            .iter()
            .chain(&self.processes[at].finished)
            .filter(|work| work.task.alone)
            .cloned()
            .collect();
        let leaves: Vec<LeafId> = alone.iter().map(|work| self.leaf(work)).collect();
        self.unlucky.extend(leaves);
        self.die(at);
    }
}

#[derive(Debug, Clone)]
struct Shape {
    leaves: usize,
    killers: usize,
    processes: usize,
    slots: usize,
    per_message: u32,
    kills: usize,
    seed: u64,
}

/// Runs a job until nothing of it is out any more.
fn play(shape: &Shape) -> Fleet {
    let mut dice = Dice(shape.seed | 1);
    let mut plans = vec![Plan::GOOD; shape.leaves];
    while plans.iter().filter(|plan| **plan == KILLER).count() < shape.killers {
        let at = dice.below(shape.leaves);
        plans[at] = KILLER;
    }
    let mut spec = spec();
    spec.max_in_flight = 10_000;
    spec.items_per_message = shape.per_message;
    let pages = plans.chunks(250).map(<[Plan]>::to_vec).collect();
    let mut fleet = Fleet {
        world: World::new(&Tree::flat(pages), spec),
        processes: (0..shape.processes).map(|_| Process::default()).collect(),
        slots: shape.slots,
        dice,
        deliveries: 0,
        runs: BTreeMap::new(),
        deaths: 0,
        unlucky: BTreeSet::new(),
    };
    let mut kills = shape.kills;
    for _ in 0..shape.leaves * 2_000 {
        if fleet.world.job().settled.is_some() {
            break;
        }
        let at = fleet.dice.below(shape.processes);
        match fleet.dice.below(12) {
            0 if kills > 0 && fleet.dice.below(20) == 0 => {
                kills -= 1;
                fleet.kill(at);
            }
            0..=3 => {
                fleet.plumb();
            }
            4..=5 => fleet.receive(at),
            6..=8 => fleet.start(at),
            9..=10 => fleet.finish(at),
            _ => fleet.report(at),
        }
    }
    assert!(fleet.world.job().settled.is_some(), "the job does not end");
    fleet
}

fn check(shape: &Shape, fleet: &Fleet) {
    let failed = fleet.world.failed();
    for leaf in 0..shape.leaves {
        let (killer, runs) = (fleet.world.source.plan(leaf) == KILLER, fleet.runs[&leaf]);
        let poison = failed.contains(&leaf);
        assert!(poison || !killer, "a killer is counted as done");
        assert!(
            killer || !poison || fleet.unlucky.contains(&leaf),
            "an innocent item is blamed"
        );
        assert!(runs <= 3, "an item ran {runs} times");
    }
    let from_killers = fleet.deaths as usize - shape.kills.min(fleet.deaths as usize);
    assert!(from_killers <= 3 * shape.killers, "{} deaths", fleet.deaths);
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        (1usize..80, 0usize..4, 1usize..4),
        (1usize..9, 1u32..4, 0usize..4),
        any::<u64>(),
    )
        .prop_map(
            |((leaves, killers, processes), (slots, per_message, kills), seed)| Shape {
                leaves,
                killers: killers.min(leaves),
                processes,
                slots,
                per_message,
                kills,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(super::schedule::config(60))]

    /// Whichever process dies when: killers end as POISON, and nothing else does but what ran alone
    /// in a process that was killed from outside. No item starts more than three times.
    #[test]
    fn killers_end_and_nobody_else_is_blamed(shape in shape()) {
        let fleet = play(&shape);
        check(&shape, &fleet);
    }
}

/// Three killers among a thousand items.
#[test]
fn three_killers_among_a_thousand_items() {
    let shape = Shape {
        leaves: 1000,
        killers: 3,
        processes: 2,
        slots: 16,
        per_message: 1,
        kills: 0,
        seed: 0x5eed,
    };
    let fleet = play(&shape);
    check(&shape, &fleet);
    assert_eq!(fleet.world.failed().len(), 3);
    // Fewer, where a killer was only prefetched when another one killed its process.
    assert!((6..=9).contains(&fleet.deaths), "{} deaths", fleet.deaths);
}
