//! The sizes of the tests, and when they kill. The moments are drawn from a seed, so that a run can be
//! repeated.
//!
//! `make test` runs the short form, always with one seed. `make chaos` sets `HEADWAY_CHAOS=long` and
//! draws a seed for each test; `HEADWAY_CHAOS_SEED` repeats one.

use std::env;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The seed of the short form.
const SHORT: u64 = 1;

/// The form of a test and its random numbers.
pub(crate) struct Plan {
    long: bool,
    random: StdRng,
}

impl Plan {
    /// The plan that the environment asks for. Prints its seed, which the output of a failed test
    /// shows.
    pub(crate) fn of_environment() -> Self {
        let long = match env::var("HEADWAY_CHAOS").as_deref() {
            Ok("long") => true,
            Ok("short") | Err(_) => false,
            Ok(other) => panic!("HEADWAY_CHAOS is {other}; use long or short"),
        };
        let seed = match env::var("HEADWAY_CHAOS_SEED") {
            Ok(seed) => seed.parse().expect("HEADWAY_CHAOS_SEED is a number"),
            Err(_) if long => rand::random(),
            Err(_) => SHORT,
        };
        eprintln!("HEADWAY_CHAOS_SEED={seed}");
        Self::new(long, seed)
    }

    fn new(long: bool, seed: u64) -> Self {
        Self {
            long,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The size that this form has.
    pub(crate) fn size(&self, long: u32, short: u32) -> u32 {
        if self.long { long } else { short }
    }

    /// A number of items that have run, at which to kill: the end of part `part` of `parts` equal
    /// parts of the items, or up to half a part later. Parts are counted from one.
    pub(crate) fn moment(&mut self, items: u32, part: u32, parts: u32) -> u32 {
        let length = items / parts;
        part * length + self.random.random_range(0..=length / 2)
    }
}

#[test]
fn a_seed_repeats_its_moments() {
    let moments = |seed| {
        let mut plan = Plan::new(false, seed);
        (1..9).map(|part| plan.moment(10_000, part, 10)).collect()
    };
    let first: Vec<_> = moments(SHORT);
    assert_eq!(first, moments(SHORT));
    assert_ne!(first, moments(SHORT + 1));
    for (part, moment) in (1..).zip(first) {
        assert!((part * 1000..=part * 1000 + 500).contains(&moment));
    }
}
