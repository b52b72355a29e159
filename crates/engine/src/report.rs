//! Gathers what happened to items into few messages: one a shard, grouped by page, usual outcomes
//! packed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use headway::wire::item_report::Event;
use headway::wire::{Done, ItemReport, PageReport, ReportMessage};
use headway_broker::{Outgoing, Queue};
use prost::Message;
use tokio::time::Instant;
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::ledger::Settlement;
use crate::status::JobUid;

/// How long the first outcome waits for others.
pub(crate) const GATHER: Duration = Duration::from_micros(2_500);
/// A report with this many outcomes goes at once.
const FULL_OUTCOMES: usize = 2_000;
/// A report of this many bytes of payloads and texts goes at once.
const FULL_BYTES: usize = 256 << 10;

/// Who reports.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// The worker's name.
    pub worker: String,
    /// The session, which owns leases.
    pub session: Uuid,
}

impl Reporter {
    /// A report message for one shard.
    pub(crate) fn message(&self, shard: u16, pages: Vec<PageReport>, heartbeat: bool) -> Outgoing {
        let session = Bytes::copy_from_slice(self.session.as_bytes());
        let message = ReportMessage {
            worker: self.worker.clone(),
            session,
            pages,
            heartbeat,
            ..ReportMessage::default()
        };
        Outgoing {
            queue: Queue::Reports(shard),
            body: message.encode_to_vec().into(),
        }
    }

    /// Says that a fence came out of the pipe.
    pub(crate) fn fence(&self, shard: u16, fence: Bytes) -> Outgoing {
        let message = ReportMessage {
            worker: self.worker.clone(),
            session: Bytes::copy_from_slice(self.session.as_bytes()),
            fences: vec![fence],
            ..ReportMessage::default()
        };
        Outgoing {
            queue: Queue::Reports(shard),
            body: message.encode_to_vec().into(),
        }
    }

    /// Asks for the states of all held jobs, which come as control messages.
    pub(crate) fn question(&self) -> Outgoing {
        let message = ReportMessage {
            worker: self.worker.clone(),
            session: Bytes::copy_from_slice(self.session.as_bytes()),
            asks_held: true,
            ..ReportMessage::default()
        };
        Outgoing {
            // Every deployment has it.
            queue: Queue::Reports(0),
            body: message.encode_to_vec().into(),
        }
    }
}

/// Reports to publish together, and what their confirms settle.
#[derive(Debug)]
pub(crate) struct Batch {
    /// One report a shard.
    pub messages: Vec<Outgoing>,
    /// To be settled once all of them are confirmed.
    pub settlements: Vec<Settlement>,
}

type PageKey = (JobUid, u32, u32);

#[derive(Debug, Default)]
struct Shard {
    pages: Vec<PageReport>,
    by_key: HashMap<PageKey, usize>,
    /// The page of the last report: the next one is usually of the same.
    last: Option<(PageKey, usize)>,
}

impl Shard {
    fn page(&mut self, envelope: &Envelope) -> &mut PageReport {
        let message = &envelope.message;
        let key = (envelope.uid, message.page, message.run);
        let found = match self.last {
            Some((last, place)) if last == key => place,
            _ => *self.by_key.entry(key).or_insert_with(|| {
                self.pages.push(PageReport {
                    job_uid: message.job_uid.clone(),
                    page: message.page,
                    run: message.run,
                    ..PageReport::default()
                });
                self.pages.len() - 1
            }),
        };
        self.last = Some((key, found));
        &mut self.pages[found]
    }
}

/// A report in the making for each shard.
#[derive(Debug, Default)]
struct Open {
    shards: Vec<(u16, Shard)>,
    settlements: Vec<Settlement>,
    outcomes: usize,
    bytes: usize,
}

/// Gathers reports until they are taken.
#[derive(Debug, Default)]
pub(crate) struct Gatherer {
    open: Open,
    /// Full ones that could not be published yet. As bounded as the deliveries held.
    full: VecDeque<Open>,
    oldest: Option<Instant>,
}

impl Gatherer {
    /// Adds what happened to an item of a message, and what its confirm settles.
    pub(crate) fn add(
        &mut self,
        envelope: &Envelope,
        position: usize,
        event: Event,
        settlement: Option<Settlement>,
    ) {
        let Some(item) = envelope.message.items.get(position) else {
            return;
        };
        if self.oldest.is_none() {
            self.oldest = Some(Instant::now());
        }
        let open = &mut self.open;
        open.outcomes += 1;
        open.bytes += event_bytes(&event);
        let known = open
            .shards
            .iter()
            .position(|(shard, _)| *shard == envelope.shard);
        let place = known.unwrap_or_else(|| {
            open.shards.push((envelope.shard, Shard::default()));
            open.shards.len() - 1
        });
        let page = open.shards[place].1.page(envelope);
        if item.attempt == 0 && item.stage == 0 && matches!(event, Event::Done(Done {})) {
            page.done.push(item.index);
        } else {
            let (index, attempt, stage) = (item.index, item.attempt, item.stage);
            page.items.push(ItemReport {
                index,
                attempt,
                stage,
                event: Some(event),
            });
        }
        if let Some(settlement) = settlement {
            let joined = open
                .settlements
                .last_mut()
                .is_some_and(|last| last.join(settlement));
            if !joined {
                open.settlements.push(settlement);
            }
        }
        if open.outcomes >= FULL_OUTCOMES || open.bytes >= FULL_BYTES {
            self.full.push_back(std::mem::take(open));
        }
    }

    /// Whether there is nothing to publish.
    pub(crate) fn is_empty(&self) -> bool {
        self.oldest.is_none()
    }

    /// Whether a report is full.
    pub(crate) fn is_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// When what was gathered has waited long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.oldest.map(|oldest| oldest + GATHER)
    }

    /// The next reports to publish, the oldest first.
    pub(crate) fn take(&mut self, reporter: &Reporter) -> Option<Batch> {
        let open = match self.full.pop_front() {
            Some(full) => full,
            None if self.oldest.is_some() => std::mem::take(&mut self.open),
            None => return None,
        };
        if self.full.is_empty() && self.open.outcomes == 0 {
            self.oldest = None;
        }
        if open.outcomes == 0 {
            return None;
        }
        let messages = open
            .shards
            .into_iter()
            .map(|(shard, content)| reporter.message(shard, content.pages, false));
        Some(Batch {
            messages: messages.collect(),
            settlements: open.settlements,
        })
    }
}

fn event_bytes(event: &Event) -> usize {
    match event {
        Event::Failed(failed) => failed.code.len() + failed.message.len() + failed.details.len(),
        Event::Forward(forward) => {
            forward.payload.len() + forward.r#type.len() + forward.pipe.len()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headway::wire::{Failed, Forward, TaskItem, TaskMessage};

    use super::*;

    fn envelope(uid: u8, page: u32, shard: u32, items: &[(u32, u32, u32)]) -> Envelope {
        let item = |(index, attempt, stage): &(u32, u32, u32)| TaskItem {
            index: *index,
            attempt: *attempt,
            stage: *stage,
            ..TaskItem::default()
        };
        let message = TaskMessage {
            job_uid: Bytes::copy_from_slice(&[uid; 16]),
            page,
            shard,
            items: items.iter().map(item).collect(),
            ..TaskMessage::default()
        };
        Envelope::new(message, Instant::now(), Arc::default()).expect("is whole")
    }

    fn reporter() -> Reporter {
        Reporter {
            worker: "w".into(),
            session: Uuid::from_u128(7),
        }
    }

    fn decode(outgoing: &Outgoing) -> ReportMessage {
        ReportMessage::decode(outgoing.body.clone()).expect("is a report")
    }

    #[tokio::test]
    async fn outcomes_are_grouped_by_shard_and_page() {
        let mut gatherer = Gatherer::default();
        let one = envelope(1, 0, 3, &[(5, 0, 0), (6, 1, 0), (7, 0, 2)]);
        let two = envelope(1, 1, 3, &[(5, 0, 0)]);
        let three = envelope(2, 0, 4, &[(9, 0, 0)]);
        gatherer.add(&one, 0, Event::Done(Done {}), None);
        gatherer.add(&two, 0, Event::Done(Done {}), None);
        gatherer.add(&one, 1, Event::Done(Done {}), None);
        gatherer.add(&three, 0, Event::Failed(Failed::default()), None);
        gatherer.add(&one, 2, Event::Done(Done {}), None);
        let batch = gatherer.take(&reporter()).expect("has reports");
        assert!(gatherer.is_empty() && gatherer.take(&reporter()).is_none());
        let queues: Vec<_> = batch
            .messages
            .iter()
            .map(|message| message.queue.clone())
            .collect();
        assert_eq!(queues, [Queue::Reports(3), Queue::Reports(4)]);
        let first = decode(&batch.messages[0]);
        assert_eq!(
            (first.worker.as_str(), first.session.len(), first.heartbeat),
            ("w", 16, false)
        );
        assert_eq!(first.pages.len(), 2);
        assert_eq!(first.pages[0].done, [5]);
        let spelled: Vec<_> = first.pages[0]
            .items
            .iter()
            .map(|item| (item.index, item.attempt, item.stage))
            .collect();
        assert_eq!(
            spelled,
            [(6, 1, 0), (7, 0, 2)],
            "only attempt 0 in stage 0 is packed"
        );
        assert_eq!(first.pages[1].done, [5]);
        assert_eq!(decode(&batch.messages[1]).pages[0].items.len(), 1);
    }

    #[tokio::test]
    async fn a_full_report_is_closed_and_goes_first() {
        let mut gatherer = Gatherer::default();
        let many: Vec<_> = (0..2_001).map(|index| (index, 0, 0)).collect();
        let many = envelope(1, 0, 0, &many);
        for position in 0..2_001 {
            assert_eq!(gatherer.is_full(), position == 2_000, "at {position}");
            gatherer.add(&many, position, Event::Done(Done {}), None);
        }
        let first = gatherer.take(&reporter()).expect("has reports");
        assert_eq!(decode(&first.messages[0]).pages[0].done.len(), 2_000);
        assert!(!gatherer.is_empty() && !gatherer.is_full());
        let rest = gatherer.take(&reporter()).expect("has the rest");
        assert_eq!(decode(&rest.messages[0]).pages[0].done, [2_000]);
        let forward = Forward {
            payload: vec![0; FULL_BYTES].into(),
            ..Forward::default()
        };
        gatherer.add(&many, 0, Event::Forward(forward), None);
        assert!(gatherer.is_full());
    }
}
