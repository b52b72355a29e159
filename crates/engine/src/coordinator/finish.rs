//! What the runner made of the items, on the way to a report.

use std::time::Duration;

use headway::wire::item_report::Event;
use headway::wire::{Discarded, Done, Failed, Forward, Fraction, Parked, ResultMessage};
use headway_broker::{Outgoing, Queue};
use prost::Message;

use super::published::{Published, Recorded};
use super::{Engine, PUBLISHES};
use crate::confirm::{self, Delivered};
use crate::ending::{Ending, code};
use crate::runner::{Finished, Verdict};
use crate::text;

impl Engine {
    pub(super) fn on_finished(&mut self, batch: Vec<Finished>) {
        let mut batch = Some(batch);
        // Everything that is there already goes into the same report.
        while let Some(finished) = batch {
            let count = finished.len();
            self.dispatched = self.dispatched.saturating_sub(count);
            self.seen.finished = self
                .seen
                .finished
                .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            finished.into_iter().for_each(|one| self.record(one));
            batch = if self.gatherer.is_full() {
                None
            } else {
                self.finished.try_recv().ok()
            };
        }
    }

    fn record(&mut self, finished: Finished) {
        let Finished {
            key,
            position,
            verdict,
        } = finished;
        self.alone.ended(key, position);
        let Some(envelope) = self.ledger.envelope(key).cloned() else {
            return;
        };
        let Some(settlement) = self.ledger.end(key, position) else {
            return;
        };
        let event = match verdict {
            Verdict::Ended(Ending::Done) => Event::Done(Done {}),
            Verdict::Ended(Ending::DoneWithResult {
                payload,
                content_type,
            }) => {
                let pipe = &envelope.message.result_pipe;
                if text::is_target_pipe(pipe) {
                    let item = envelope
                        .message
                        .items
                        .get(position)
                        .map_or(0, |item| item.index);
                    let result = ResultMessage {
                        job: envelope.message.job.clone(),
                        item: format!("{}-{item}", envelope.message.page),
                        payload,
                        content_type,
                    };
                    let result = Outgoing {
                        queue: Queue::Pipe(pipe.clone()),
                        body: result.encode_to_vec().into(),
                    };
                    self.results.push((
                        result,
                        Recorded {
                            envelope,
                            position,
                            settlement,
                        },
                    ));
                    return;
                }
                Event::Done(Done {})
            }
            Verdict::Ended(Ending::Forward {
                pipe,
                task_type,
                payload,
                content_type,
            }) => Event::Forward(Forward {
                pipe,
                r#type: task_type,
                payload,
                content_type,
            }),
            Verdict::Failed(failure) => Event::Failed(Failed {
                retryable: failure.retryable,
                code: failure.code,
                message: failure.message,
                details: failure.details,
            }),
            Verdict::Discarded => Event::Discarded(Discarded {}),
            Verdict::Returned => Event::Parked(Parked {}),
        };
        self.gatherer
            .add(&envelope, position, event, Some(settlement));
    }

    /// Publishes the results that wait, one batch at a time for each pipe. Their outcomes are
    /// gathered once they are confirmed, or given up.
    pub(super) fn flush_results(&mut self) {
        let mut place = 0;
        // Half of the publishes stay free for reports, so that full result pipes hold up nobody
        // else.
        while place < self.results.len() && self.publishing.len() < PUBLISHES / 2 {
            let pipe = &self.results[place].1.envelope.message.result_pipe;
            if self.delivering.contains(pipe) {
                place += 1;
                continue;
            }
            let pipe = pipe.clone();
            let of_pipe = |(_, recorded): &mut (Outgoing, Recorded)| {
                recorded.envelope.message.result_pipe == pipe
            };
            let results = self.results.extract_if(place.., of_pipe).collect();
            // Once a pipe has refused results for so long, the next ones are tried only once: they
            // fail at the pace of the work instead of holding it up.
            let patience = match self.undelivered.contains(&pipe) {
                true => Duration::ZERO,
                false => self.settings.result_timeout,
            };
            self.delivering.insert(pipe.clone());
            let broker = self.settings.broker.clone();
            self.publishing.push(Box::pin(async move {
                let delivered = confirm::deliver(broker.as_ref(), results, patience).await?;
                Ok(Published::Results(pipe, delivered))
            }));
        }
    }

    pub(super) fn on_results(&mut self, pipe: &str, delivered: Delivered<Recorded>) {
        self.delivering.remove(pipe);
        match delivered.undelivered.is_empty() {
            true => self.undelivered.remove(pipe),
            false => self.undelivered.insert(pipe.to_owned()),
        };
        for recorded in delivered.confirmed {
            self.report_result(recorded, Event::Done(Done {}));
        }
        for (recorded, error) in delivered.undelivered {
            let message = format!(
                "the item was done, but result pipe {pipe} does not take its result; see that the pipe is consumed, then retry the job"
            );
            tracing::warn!(%error, pipe, "cannot deliver a result; its item fails with RESULT_UNDELIVERED");
            let failed = Failed {
                retryable: false,
                code: code::RESULT_UNDELIVERED.to_owned(),
                message,
                details: String::new(),
            };
            self.report_result(recorded, Event::Failed(failed));
        }
    }

    fn report_result(&mut self, recorded: Recorded, event: Event) {
        let Recorded {
            envelope,
            position,
            settlement,
        } = recorded;
        self.gatherer
            .add(&envelope, position, event, Some(settlement));
    }

    /// Reports the newest fractions of running items.
    pub(super) fn on_fractions(&mut self) {
        self.fractions_due = None;
        for changed in self.progress.take() {
            if let Some(millionths) = changed.envelope.take_fraction(changed.position) {
                let event = Event::Fraction(Fraction { millionths });
                self.gatherer
                    .add(&changed.envelope, changed.position, event, None);
            }
        }
    }
}
