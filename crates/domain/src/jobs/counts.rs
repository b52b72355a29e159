//! The counters of a job.

/// Counters of a job. Items: `done + failed + discarded + open = known`, where the open ones are
/// unreleased, parked, delayed, or in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items found.
    pub known: u64,
    /// Items that ended well.
    pub done: u64,
    /// Items that failed in the present run.
    pub failed: u64,
    /// Items that were discarded in the present run.
    pub discarded: u64,
    /// Open items that were never sent in the present run.
    pub unreleased: u64,
    /// Open items set aside while the job was paused.
    pub parked: u64,
    /// Open items that wait for their next attempt.
    pub delayed: u64,
    /// Rows of items in an exceptional state.
    pub item_rows: u64,
    /// Sum of the fractions of running items, in millionths of an item.
    pub fractions: u64,
    /// Pages that may be split.
    pub unsplit: u64,
    /// Pages that batch workers were asked to split.
    pub splitting: u64,
    /// Pages with open children.
    pub open: u64,
    /// Finished pages that are retained because of failed or discarded items.
    pub retained: u64,
    /// Pages that could not be split in the present run.
    pub split_failed: u64,
    /// Pages of an earlier run that are to be opened again.
    pub reopen: u64,
    /// Exact items of batches whose size was known beforehand.
    pub declared: u64,
    /// Items found in batches whose size was not known.
    pub undeclared: u64,
    /// Pages split in batches whose size was not known.
    pub undeclared_pages: u64,
    /// Pages yet to be split in batches whose size was not known.
    pub undeclared_unsplit: u64,
    /// Failures recorded in the present run: failed items and batches that could not be split.
    pub failures: u64,
    /// How many of these failures were redriven: their items run again.
    pub redriven: u64,
}

impl Counts {
    /// Failures of the present run without the redriven ones.
    pub fn standing_failures(&self) -> u64 {
        self.failures.saturating_sub(self.redriven)
    }

    /// Items without an outcome.
    pub fn open_items(&self) -> u64 {
        self.known
            .saturating_sub(sum([self.done, self.failed, self.discarded]))
    }

    /// Open items that are in pipes, at workers, or leased.
    pub fn in_flight(&self) -> u64 {
        self.open_items()
            .saturating_sub(sum([self.unreleased, self.parked, self.delayed]))
    }

    /// Items that the window bounds: in flight, delayed or parked.
    pub fn out(&self) -> u64 {
        self.open_items().saturating_sub(self.unreleased)
    }

    /// The counters of an ended job, as clients see them. Its open items that are not out never
    /// run, so they count as discarded. Items that are still at workers stay open until they are
    /// reported.
    pub(crate) fn of_ended(&self) -> Self {
        let in_flight = self.in_flight();
        Self {
            discarded: self.discarded + self.open_items().saturating_sub(in_flight),
            unreleased: 0,
            parked: 0,
            delayed: 0,
            ..self.clone()
        }
    }

    /// Changes the counters as a redrive of this many failed items and failed splits would.
    pub fn rehearse_redrive(&mut self, items: u64, splits: u64) {
        self.failed = self.failed.saturating_sub(items);
        self.unreleased += items;
        self.split_failed = self.split_failed.saturating_sub(splits);
        self.undeclared_unsplit += splits;
        self.redriven += items + splits;
    }

    /// Pages that have work left in this run.
    pub fn live_pages(&self) -> u64 {
        self.unsplit + self.splitting + self.open + self.reopen
    }
}

fn sum(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}
