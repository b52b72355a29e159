//! Many watches of partitions in which nothing happens, or that do not exist.

use std::time::Duration;

use headway::v1;
use tokio::time::{Instant, sleep, timeout};

use super::stream::{Watch, all};
use crate::harness::{Harness, PATIENCE, request, task};

const WATCHES: usize = 300;
/// Statements for all watches together, each at least this far from the one before.
const STATEMENTS: u32 = 10;
const PACE: Duration = Duration::from_millis(25);

fn parent(number: usize) -> String {
    format!("partitions/absent-{number}")
}

#[tokio::test]
async fn idle_watches_share_one_statement() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.repair_interval = Duration::from_millis(1);
        parts
    })
    .await;
    let mut watches = Vec::new();
    for number in 0..WATCHES {
        let request = v1::WatchJobsRequest {
            parent: parent(number),
            ..all()
        };
        watches.push(Watch::listed(&harness, request).await);
    }
    let store = harness.store();
    let (began, before) = (Instant::now(), store.statements());
    let sent = async {
        while store.statements() < before + u64::from(STATEMENTS) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, sent).await.unwrap();
    assert!(began.elapsed() >= (STATEMENTS - 2) * PACE);

    // One of them changes: by a call, and by a process whose messages are lost.
    let at = WATCHES / 2;
    let watch = &mut watches[at];
    let mut heard = request("heard", task());
    heard.parent = parent(at);
    let heard = harness
        .client
        .clone()
        .create_job(heard)
        .await
        .unwrap()
        .into_inner();
    watch.until(|jobs| jobs.contains_key(&heard.name)).await;
    harness.report(&heard, vec![0], &[]).await;
    let done = |jobs: &std::collections::BTreeMap<String, v1::Job>| {
        jobs[&heard.name].state() == v1::JobState::Completed
    };
    watch.until(done).await;
    harness.stop().await;
}
