//! How much each section does.

use std::time::Duration;

/// Items of one job that may be out at once, unless told otherwise: the default of a job.
pub(crate) const WINDOW: i32 = 10_000;
/// The bytes of a raw message; about what a task message of one small item has.
pub(crate) const MESSAGE_BYTES: usize = 300;
/// Handlers that run at once in the no-op worker of sections c, d, g and h.
pub(crate) const CONCURRENCY: usize = 256;

/// How long the handlers of section i take.
const QUICK_AND_SLOW: [Duration; 2] = [Duration::ZERO, Duration::from_millis(2)];
const SLOW: [Duration; 1] = [Duration::from_millis(2)];

/// How many watch what, and for how long each load is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FanOut {
    /// Jobs that change ten times a second.
    pub jobs: usize,
    /// gRPC streams.
    pub watchers: usize,
    /// gRPC streams that nobody reads.
    pub stuck: usize,
    /// grpc-web streams.
    pub web: usize,
    /// How long each load is measured.
    pub time: Duration,
    /// How long it is watched whether memory grows.
    pub soak: Option<Duration>,
}

/// What dies in section k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Crashes {
    /// Handlers of a worker that run at once.
    pub slots: usize,
    /// How long an item takes of those that all slots run when a worker is killed, in milliseconds.
    pub long_ms: u64,
    /// Items of the job in the middle of which a worker is killed.
    pub items: u64,
    /// How long each of these takes, in milliseconds.
    pub short_ms: u64,
    /// Items among which there are some that kill.
    pub among: u64,
}

/// The sizes of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sizes {
    /// Whether figures are compared with targets.
    pub thresholds: bool,
    /// a: messages through the raw queue.
    pub messages: usize,
    /// b: how long rows are committed.
    pub commit_time: Duration,
    /// c, d: items of the measured job.
    pub items: u64,
    /// c, d, g, h: the job's window.
    pub window: i32,
    /// e: how long jobs are created at 64 in flight.
    pub create_time: Duration,
    /// e: jobs created one after the other on an idle system.
    pub starts: usize,
    /// f: jobs watched at once, and the items of each.
    pub watched: (usize, u64),
    /// g, i: items of the large job.
    pub large: u64,
    /// h: items of the jobs that are compared; the last is section g's where that ran.
    pub scale: [u64; 3],
    /// h: how often the jobs but the largest are run; the median counts.
    pub repeats: usize,
    /// i: small jobs created behind the large one, for each kind of handler.
    pub probes: usize,
    /// i: the time between two of them.
    pub probe_every: Duration,
    /// i: how long the handlers take that the large job is run with, one after the other.
    pub handler_times: &'static [Duration],
    /// k: what dies.
    pub crashes: Crashes,
    /// m: partitions, and the jobs of each.
    pub many: (usize, usize),
    /// m: how often each list is asked for.
    pub finds: usize,
    /// m: jobs that are deleted while a batch runs.
    pub deleted: usize,
    /// n: levels of folders.
    pub levels: [u32; 3],
    /// p: links of a chain of jobs.
    pub chain: usize,
    /// p: prerequisites of one job.
    pub fan_in: usize,
    /// p: jobs that wait while others are created.
    pub waiting: usize,
    /// p: how long CPU time is looked at while nothing happens.
    pub quiet: Duration,
    /// w: watchers of one server.
    pub fan_out: FanOut,
    /// The longest that a section may take.
    pub deadline: Duration,
}

impl Sizes {
    /// The sizes that targets are set for.
    pub(crate) fn full() -> Self {
        Self {
            thresholds: true,
            messages: 200_000,
            commit_time: Duration::from_secs(6),
            items: 200_000,
            window: WINDOW,
            create_time: Duration::from_secs(8),
            starts: 300,
            watched: (20, 500),
            large: 1_000_000,
            scale: [10_000, 100_000, 1_000_000],
            repeats: 3,
            probes: 15,
            probe_every: Duration::from_millis(500),
            handler_times: &QUICK_AND_SLOW,
            crashes: Crashes {
                slots: 64,
                long_ms: 1000,
                items: 4000,
                short_ms: 50,
                among: 1000,
            },
            many: (50, 20_000),
            finds: 500,
            deleted: 100_000,
            levels: [100, 300, 1000],
            chain: 1000,
            fan_in: 10_000,
            waiting: 100_000,
            quiet: Duration::from_secs(5),
            fan_out: FanOut {
                jobs: 100,
                watchers: 10_000,
                stuck: 500,
                web: 1000,
                time: Duration::from_secs(10),
                soak: None,
            },
            deadline: Duration::from_secs(15 * 60),
        }
    }

    /// About a hundredth, without thresholds.
    pub(crate) fn short() -> Self {
        Self {
            thresholds: false,
            messages: 4_000,
            commit_time: Duration::from_millis(300),
            items: 4_000,
            create_time: Duration::from_millis(500),
            starts: 20,
            watched: (4, 100),
            large: 20_000,
            scale: [200, 2_000, 20_000],
            repeats: 1,
            probes: 3,
            probe_every: Duration::from_millis(100),
            handler_times: &SLOW,
            crashes: Crashes {
                slots: 8,
                long_ms: 200,
                items: 100,
                short_ms: 10,
                among: 100,
            },
            many: (2, 400),
            finds: 20,
            deleted: 400,
            levels: [5, 10, 20],
            chain: 20,
            fan_in: 200,
            waiting: 1000,
            quiet: Duration::from_millis(300),
            fan_out: FanOut {
                jobs: 4,
                watchers: 100,
                stuck: 5,
                web: 10,
                time: Duration::from_millis(500),
                soak: None,
            },
            deadline: Duration::from_secs(60),
            ..Self::full()
        }
    }
}
