//! How many deliveries to hold: enough that a fast handler never waits for the broker, few enough
//! that no delivery waits long unstarted while another worker could have run it.

use std::time::Duration;

/// The most messages held, which bounds the worker's memory.
pub(crate) const MAX_PREFETCH: u16 = 1024;
/// A delivery that waited longer shows that too many are held.
const LONG_WAIT: Duration = Duration::from_millis(400);
/// As long as nothing waits longer than this, more may be held.
const SHORT_WAIT: Duration = Duration::from_millis(100);
/// At most this many seconds' worth of items are held.
const AHEAD_SECONDS: f64 = 0.5;

/// What was seen since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Observed {
    /// The longest time that an item waited between its receipt and its start, or still waits.
    pub longest_wait: Duration,
    /// Whether the prefetch was full and yet the handlers had nothing left to start.
    pub starved: bool,
    /// Messages received and the items in them.
    pub messages: u32,
    /// See `messages`.
    pub items: u32,
    /// Items that ended.
    pub finished: u32,
    /// How long it was looked.
    pub elapsed: Duration,
}

/// The prefetch of one consumer, in messages.
#[derive(Debug)]
pub(crate) struct Prefetch {
    concurrency: usize,
    current: u16,
    /// A moving mean of the items in a message.
    items_per_message: f64,
    /// A moving mean of the items ended in a second.
    items_per_second: f64,
}

impl Prefetch {
    /// Starts with two messages for each item that may run at once.
    pub(crate) fn new(concurrency: usize) -> Self {
        let current = u16::try_from(concurrency.saturating_mul(2)).unwrap_or(MAX_PREFETCH);
        Self {
            concurrency,
            current: current.clamp(2, MAX_PREFETCH),
            items_per_message: 1.0,
            items_per_second: 0.0,
        }
    }

    /// The present prefetch.
    pub(crate) fn current(&self) -> u16 {
        self.current
    }

    /// The least that keeps every slot busy.
    fn least(&self) -> u16 {
        let mut needed: u16 = 2;
        while needed < MAX_PREFETCH && f64::from(needed) * self.items_per_message < self.slots() {
            needed += 1;
        }
        needed
    }

    fn slots(&self) -> f64 {
        f64::from(u32::try_from(self.concurrency).unwrap_or(u32::MAX))
    }

    /// Adapts to what was seen. Returns the new prefetch if it changed.
    pub(crate) fn adapt(&mut self, seen: Observed) -> Option<u16> {
        if seen.messages > 0 {
            let mean = f64::from(seen.items) / f64::from(seen.messages);
            self.items_per_message += (mean - self.items_per_message) / 4.0;
        }
        if !seen.elapsed.is_zero() {
            let rate = f64::from(seen.finished) / seen.elapsed.as_secs_f64();
            self.items_per_second += (rate - self.items_per_second) / 4.0;
        }
        let before = self.current;
        if seen.longest_wait > LONG_WAIT {
            self.current = (self.current / 2).max(self.least());
        } else if seen.starved && seen.longest_wait < SHORT_WAIT {
            let doubled = self.current.saturating_mul(2).min(MAX_PREFETCH);
            if f64::from(doubled) * self.items_per_message
                <= self.slots() + self.items_per_second * AHEAD_SECONDS
            {
                self.current = doubled;
            }
        }
        (self.current != before).then_some(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fast() -> Observed {
        let elapsed = Duration::from_millis(100);
        Observed {
            longest_wait: Duration::from_millis(1),
            starved: true,
            messages: 2_000,
            items: 2_000,
            finished: 2_000,
            elapsed,
        }
    }

    fn slow(items: u32) -> Observed {
        let elapsed = Duration::from_millis(100);
        Observed {
            longest_wait: Duration::from_secs(3),
            starved: false,
            messages: 1,
            items,
            finished: 1,
            elapsed,
        }
    }

    #[test]
    fn a_short_lull_of_slow_handlers_is_no_reason_to_hold_more() {
        let mut prefetch = Prefetch::new(8);
        for _ in 0..20 {
            prefetch.adapt(slow(1));
        }
        let lull = Observed {
            longest_wait: Duration::ZERO,
            starved: true,
            ..slow(1)
        };
        assert_eq!(
            prefetch.adapt(Observed {
                finished: 0,
                ..lull
            }),
            None
        );
        assert_eq!(prefetch.current(), 8);
    }

    #[test]
    fn fast_handlers_let_it_grow_to_its_bound() {
        let mut prefetch = Prefetch::new(8);
        assert_eq!(prefetch.current(), 16);
        for _ in 0..10 {
            prefetch.adapt(fast());
        }
        assert_eq!(prefetch.current(), MAX_PREFETCH);
        assert_eq!(prefetch.adapt(fast()), None);
    }

    #[test]
    fn slow_handlers_shrink_it_to_what_keeps_the_slots_busy() {
        let mut prefetch = Prefetch::new(8);
        for _ in 0..10 {
            prefetch.adapt(fast());
        }
        for _ in 0..20 {
            prefetch.adapt(slow(1));
        }
        assert_eq!(prefetch.current(), 8);
        for _ in 0..40 {
            prefetch.adapt(slow(100));
        }
        assert_eq!(prefetch.current(), 2);
    }

    #[test]
    fn an_idle_worker_stays_as_it_is() {
        let mut prefetch = Prefetch::new(3);
        assert_eq!(prefetch.adapt(Observed::default()), None);
        assert_eq!(Prefetch::new(100_000).current(), MAX_PREFETCH);
        assert_eq!(Prefetch::new(1).current(), 2);
    }
}
