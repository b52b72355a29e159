//! How fast pipes drain, as this process sees it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The time over which rates are smoothed.
const SMOOTHED_SECONDS: f64 = 1.0;
/// Below this rate a pipe counts as still and is forgotten.
const STILL: f64 = 0.01;

/// Items that left each pipe since the last sample, and the smoothed rates.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counted: BTreeMap<String, u64>,
    rates: BTreeMap<String, f64>,
}

impl Rates {
    pub(crate) fn count(&self, drained: &BTreeMap<String, u64>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (pipe, items) in drained {
            *inner.counted.entry(pipe.clone()).or_default() += items;
        }
    }

    /// Takes a sample over the seconds that passed; the rates of pipes that move or just stopped.
    pub(crate) fn sample(&self, seconds: f64) -> BTreeMap<String, f64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = std::mem::take(&mut inner.counted);
        for pipe in counted.keys() {
            inner.rates.entry(pipe.clone()).or_default();
        }
        for (pipe, rate) in &mut inner.rates {
            let fresh = counted.get(pipe).copied().unwrap_or(0) as f64 / seconds.max(0.001);
            // A pipe that begins to move has its rate at once.
            *rate = if *rate <= STILL {
                fresh
            } else {
                *rate + (fresh - *rate) * (1.0 - (-seconds / SMOOTHED_SECONDS).exp())
            };
        }
        let published = inner.rates.clone();
        inner.rates.retain(|_, rate| *rate > STILL);
        published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_once_follows_and_fades() {
        let rates = Rates::default();
        let count = |items| rates.count(&BTreeMap::from([("p".to_owned(), items)]));
        count(100);
        assert_eq!(rates.sample(0.5)["p"], 200.0);
        count(400);
        let rising = rates.sample(0.5)["p"];
        assert!(rising > 200.0 && rising < 800.0, "{rising}");
        let fading = rates.sample(1.0)["p"];
        assert!(fading < rising && fading > 0.0, "{fading}");
        for _ in 0..100 {
            rates.sample(1.0);
        }
        assert!(rates.sample(1.0).is_empty());
    }
}
