//! How fast pipes drain, as this process sees it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// The weight of the newest sample in the smoothed rate.
const NEWEST: f64 = 0.5;
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
            // Up at once, down gently: a pipe that stood still for a moment keeps its credit.
            *rate = if fresh > *rate {
                fresh
            } else {
                *rate + (fresh - *rate) * NEWEST * seconds.min(1.0)
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
    fn rises_at_once_and_fades() {
        let rates = Rates::default();
        rates.count(&BTreeMap::from([("p".to_owned(), 100)]));
        assert_eq!(rates.sample(0.5)["p"], 200.0);
        let fading = rates.sample(1.0)["p"];
        assert!(fading < 200.0 && fading > 0.0);
        for _ in 0..100 {
            rates.sample(1.0);
        }
        assert!(rates.sample(1.0).is_empty());
    }
}
