//! The time that everything is judged by: the database's clock, carried on by a clock of this
//! process that nobody sets. A machine's clock may be set back or forth, as when a virtual machine
//! is resumed; what cannot be undone must not follow at once from that.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use headway_domain::Micros;

/// A difference that is accepted at once: clocks are never quite the same.
const TOLERANCE: Micros = 1_000_000;
/// How long a clock that jumped must go on steadily before it is believed.
const SETTLING: Duration = Duration::from_secs(60);

/// The clocks of this machine; tests have others.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// Microseconds since 1970. May jump.
    fn wall(&self) -> Micros;

    /// The time since some moment. Never jumps.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl TimeSource for SystemClock {
    fn wall(&self) -> Micros {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The database's clock as this process knows it.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Arc<dyn TimeSource>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A moment of the monotonic clock, and what time it was.
    anchor: (Duration, Micros),
    /// How far the database's clock is from ours since it jumped, and since when.
    jump: Option<(Micros, Duration)>,
    /// When a jump forward was accepted.
    moved: Option<Duration>,
}

impl State {
    fn at(&self, monotonic: Duration) -> Micros {
        let (since, time) = self.anchor;
        let passed = monotonic.saturating_sub(since).as_micros();
        time.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// Takes note of what the database's clock says at a moment.
    fn compare(&mut self, theirs: Micros, monotonic: Duration) {
        let apart = theirs.saturating_sub(self.at(monotonic));
        if apart.abs() <= TOLERANCE {
            self.anchor = (monotonic, theirs);
            self.jump = None;
            return;
        }
        match self.jump {
            Some((jump, since)) if (jump - apart).abs() <= TOLERANCE => {
                if monotonic.saturating_sub(since) < SETTLING {
                    return;
                }
                tracing::warn!(
                    seconds = apart / 1_000_000,
                    "the clock was steady for a minute after its jump; following it"
                );
                self.anchor = (monotonic, theirs);
                self.jump = None;
                if apart > 0 {
                    self.moved = Some(monotonic);
                }
            }
            Some(_) | None => {
                tracing::warn!(
                    seconds = apart / 1_000_000,
                    "the clock jumped; timers, deadlines and schedules ignore the jump until the clock is steady for a minute"
                );
                self.jump = Some((apart, monotonic));
            }
        }
    }
}

impl Clock {
    /// A clock that begins with what the wall clock says.
    pub(crate) fn new(source: Arc<dyn TimeSource>) -> Self {
        let state = State {
            anchor: (source.monotonic(), source.wall()),
            jump: None,
            moved: None,
        };
        Self {
            source,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time.
    pub(crate) fn now(&self) -> Micros {
        self.lock().at(self.source.monotonic())
    }

    /// The time where the wall clock is the database's clock.
    pub(crate) fn now_by_wall(&self) -> Micros {
        let (wall, monotonic) = (self.source.wall(), self.source.monotonic());
        let mut state = self.lock();
        state.compare(wall, monotonic);
        state.at(monotonic)
    }

    /// The moment of the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.source.monotonic()
    }

    /// Begins with what the database's clock says at a moment.
    pub(crate) fn set(&self, theirs: Micros, monotonic: Duration) {
        self.lock().anchor = (monotonic, theirs);
    }

    /// Takes note of what the database's clock says at a moment.
    pub(crate) fn compare(&self, theirs: Micros, monotonic: Duration) {
        self.lock().compare(theirs, monotonic);
    }

    /// Whether the time jumped forward within this time. What was to be renewed until now could not
    /// be.
    pub(crate) fn moved_within(&self, time: Duration) -> bool {
        let now = self.source.monotonic();
        let moved = self.lock().moved;
        moved.is_some_and(|moved| now.saturating_sub(moved) < time)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const HOUR: Micros = 3_600_000_000;
    const MINUTE: Micros = 60_000_000;

    #[derive(Debug, Default)]
    struct Manual {
        wall: AtomicI64,
        monotonic: AtomicI64,
    }

    impl Manual {
        fn pass(&self, micros: Micros) {
            self.wall.fetch_add(micros, Ordering::Relaxed);
            self.monotonic.fetch_add(micros, Ordering::Relaxed);
        }

        fn step(&self, micros: Micros) {
            self.wall.fetch_add(micros, Ordering::Relaxed);
        }
    }

    impl TimeSource for Manual {
        fn wall(&self) -> Micros {
            self.wall.load(Ordering::Relaxed)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_micros(self.monotonic.load(Ordering::Relaxed).try_into().unwrap())
        }
    }

    #[test]
    fn a_jump_is_not_followed_before_it_is_steady() {
        for step in [HOUR, -HOUR] {
            let source = Arc::new(Manual::default());
            source.step(10 * HOUR);
            let clock = Clock::new(source.clone());
            source.pass(MINUTE);
            let before = clock.now_by_wall();
            assert_eq!(before, 10 * HOUR + MINUTE);
            source.step(step);
            assert_eq!(clock.now_by_wall(), before);
            source.pass(MINUTE - 1);
            assert_eq!(clock.now_by_wall(), before + MINUTE - 1);
            assert!(!clock.moved_within(Duration::from_secs(60)));
            source.pass(1);
            assert_eq!(clock.now_by_wall(), before + MINUTE + step);
            assert_eq!(clock.moved_within(Duration::from_secs(60)), step > 0);
            source.pass(MINUTE);
            assert!(!clock.moved_within(Duration::from_secs(60)));
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_changes_nothing() {
        let source = Arc::new(Manual::default());
        let clock = Clock::new(source.clone());
        for step in [HOUR, -HOUR, 2 * HOUR, -2 * HOUR] {
            source.step(step);
            source.pass(MINUTE / 2);
            clock.now_by_wall();
        }
        source.pass(MINUTE);
        assert_eq!(clock.now_by_wall(), 3 * MINUTE);
    }

    #[test]
    fn small_differences_are_taken_over() {
        let source = Arc::new(Manual::default());
        let clock = Clock::new(source.clone());
        source.pass(MINUTE);
        clock.compare(MINUTE + TOLERANCE, clock.monotonic());
        assert_eq!(clock.now(), MINUTE + TOLERANCE);
        clock.compare(MINUTE, clock.monotonic());
        assert_eq!(clock.now(), MINUTE);
    }
}
