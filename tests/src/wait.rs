//! Waiting for a condition with a deadline, instead of sleeping.

use std::time::Duration;

use tokio::time::Instant;

/// How long a condition may take that is expected to come true soon.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Looks until there is something, and gives it.
///
/// # Panics
/// When `patience` is over first; says `what` was waited for.
pub async fn until<T, Look>(what: &str, patience: Duration, mut look: impl FnMut() -> Look) -> T
where
    Look: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain: {what}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
