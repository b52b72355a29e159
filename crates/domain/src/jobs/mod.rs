//! Jobs: what a client asks for, the states of a job, its progress and its retention.

pub mod bulk;
pub(crate) mod counts;
pub(crate) mod failure_policy;
pub(crate) mod history;
pub(crate) mod job;
pub mod lifecycle;
pub(crate) mod progress;
pub(crate) mod rate;
pub(crate) mod retention;
pub(crate) mod spec;
pub(crate) mod state;
pub(crate) mod timing;
pub(crate) mod update;
pub(crate) mod validate;

pub use counts::Counts;
pub use failure_policy::{FailurePolicy, Tolerance};
pub use history::Sample;
pub use job::{Job, JobMeta};
pub use progress::{MILLIONTHS, expected};
pub use rate::Rate;
pub use retention::{Expiry, GRAMMAR, Length, Retention, Since};
pub use spec::{BatchSpec, JobSpec, TaskSpec, Work};
pub use state::{JobState, Phase};
pub use timing::{Deadline, Start};
pub use update::JobUpdate;
pub use validate::label_key;
