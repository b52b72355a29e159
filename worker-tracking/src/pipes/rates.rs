//! How fast pipes drain, as this process sees it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The time over which rates are smoothed.
const SMOOTHED_SECONDS: f64 = 1.0;
/// How long the rate of a pipe is remembered that nothing leaves: what it will drain when there is
/// work again.
const REMEMBERED_SECONDS: f64 = 60.0;

/// Items that left each pipe since the last sample, and the smoothed rates.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counted: BTreeMap<String, u64>,
    rates: BTreeMap<String, Rate>,
}

#[derive(Debug, Default)]
struct Rate {
    per_second: f64,
    idle_seconds: f64,
}

impl Rates {
    pub(crate) fn count(&self, drained: &BTreeMap<String, u64>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (pipe, items) in drained {
            *inner.counted.entry(pipe.clone()).or_default() += items;
        }
    }

    /// Takes a sample over the seconds that passed; the rates of pipes that move or stopped lately.
    pub(crate) fn sample(&self, seconds: f64) -> BTreeMap<String, f64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = std::mem::take(&mut inner.counted);
        for (pipe, items) in counted.iter().filter(|(_, items)| **items > 0) {
            let rate = inner.rates.entry(pipe.clone()).or_insert(Rate {
                per_second: *items as f64 / seconds.max(0.001),
                idle_seconds: 0.0,
            });
            // A short rest belongs to the handlers' pace, a long one to a want of work.
            let rest = Some(rate.idle_seconds).filter(|rest| *rest < SMOOTHED_SECONDS);
            let seconds = (seconds + rest.unwrap_or(0.0)).max(0.001);
            let weight = 1.0 - (-seconds / SMOOTHED_SECONDS).exp();
            rate.per_second += (*items as f64 / seconds - rate.per_second) * weight;
            rate.idle_seconds = 0.0;
        }
        inner.rates.retain(|pipe, rate| {
            if counted.get(pipe).is_none_or(|items| *items == 0) {
                rate.idle_seconds += seconds;
            }
            rate.idle_seconds < REMEMBERED_SECONDS
        });
        let rates = inner.rates.iter();
        rates
            .map(|(pipe, rate)| (pipe.clone(), rate.per_second))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rates: &Rates, items: u64) {
        rates.count(&BTreeMap::from([("p".to_owned(), items)]));
    }

    #[test]
    fn begins_at_once_and_follows() {
        let rates = Rates::default();
        count(&rates, 100);
        assert_eq!(rates.sample(0.5)["p"], 200.0);
        count(&rates, 400);
        let rising = rates.sample(0.5)["p"];
        assert!(rising > 200.0 && rising < 800.0, "{rising}");
        for _ in 0..20 {
            count(&rates, 10);
            rates.sample(0.5);
        }
        let slow = rates.sample(0.5)["p"];
        assert!((slow - 20.0).abs() < 1.0, "{slow}");
    }

    #[test]
    fn handlers_that_take_longer_than_a_sample_have_their_rate() {
        let rates = Rates::default();
        for turn in 0..200 {
            // Four items each second.
            count(&rates, if turn % 4 == 0 { 4 } else { 0 });
            rates.sample(0.25);
        }
        count(&rates, 4);
        let rate = rates.sample(0.25)["p"];
        assert!((2.0..8.0).contains(&rate), "{rate}");
    }

    #[test]
    fn a_pipe_that_rests_is_remembered_for_a_while() {
        let rates = Rates::default();
        count(&rates, 100);
        rates.sample(1.0);
        for _ in 0..59 {
            assert_eq!(rates.sample(1.0)["p"], 100.0);
        }
        assert!(rates.sample(1.0).is_empty());
    }
}
