//! How long the tests are and when they kill, drawn from a seed that repeats them.
//!
//! `make test` runs the short form, with one seed always. `make chaos` sets `HEADWAY_CHAOS=long` and
//! draws a seed; `HEADWAY_CHAOS_SEED` runs one again.

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
    /// The plan that the environment asks for. Its seed is printed, which a failed test shows.
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
        Self {
            long,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// A size of the long form, or the one of the short form.
    pub(crate) fn size<Size>(&self, long: Size, short: Size) -> Size {
        if self.long { long } else { short }
    }

    /// How many of `items` have run when kill number `turn` of `turns` comes, counted from one:
    /// somewhere around its even share, and before the next one.
    pub(crate) fn moment(&mut self, items: u32, turn: u32, turns: u32) -> u32 {
        let share = items / (turns + 1);
        turn * share + self.random.random_range(0..=share / 2)
    }
}
