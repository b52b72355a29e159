//! Messages of many megabytes, in processes whose memory is measured.

use headway::v1::{JobSpec, JobState};
use headway_client::{BatchBuilder, JobBuilder};
use headway_tests::{Cluster, ClusterOptions, SECOND, numbers, outcome_counts, run_cluster};
use serde_json::json;

use crate::{
    ALONE,
    measure::{CONCURRENCY, ITEM_TIME, Measured, create},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");
/// Jobs beside the measured ones,
const JOBS: u32 = 16;
/// and their items, all in one message if a message might be that large.
const ITEMS: i32 = 280;
/// The most memory that a process ever uses, in MiB. A batch worker takes 50 without work. Each of
/// its 16 slots holds 2 MiB of messages, and once more on their way to the broker; 64 MiB of
/// messages wait for slow pipes. Pipes in memory hold 128 items of each job, 123 MB in all, when
/// nobody consumes them.
const MEMORY: u64 = 200;

/// A batch whose items have 60 kB each: 17 MB.
fn large() -> JobSpec {
    let numbers = BatchBuilder::new("range").json(&json!({"from": 0, "to": ITEMS}));
    let payload = json!({"number": "{{item}}", "text": "x".repeat(60_000)});
    let batch = numbers.item(SECOND, "large");
    let batch = batch.item_payload(&payload);
    JobBuilder::new(batch).items_per_message(ITEMS).build()
}

async fn beside_sixteen_jobs(cluster: Cluster) {
    let mut measured = Measured::alone(&cluster).await;
    // A pipe that is drained fast lets a job send all of its items at once.
    let quick = JobBuilder::new(numbers(20_000, 1000).item(SECOND, "small")).build();
    let quick = create(&cluster, "large", "quick", quick).await;
    cluster.finish(&quick, JobState::Completed).await;
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        let id = format!("large-{number}");
        jobs.push(create(&cluster, "large", &id, large()).await);
    }
    measured.beside(&cluster).await;
    for name in &jobs {
        let job = cluster.finish(name, JobState::Completed).await;
        let items = i64::from(ITEMS);
        assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
    }
    for role in cluster.roles() {
        let used = cluster.process(role, 0).await.peak_memory().unwrap() >> 20;
        eprintln!("{role}: {used} MiB");
        assert!(used < MEMORY, "{role} used {used} MiB");
    }
    measured.judge(&cluster).await;
}

fn options(options: ClusterOptions) -> ClusterOptions {
    options.with(|options| {
        let second = ("HEADWAY_TEST_SECOND".to_owned(), "true".to_owned());
        options.variables.push(second);
        options.concurrency = CONCURRENCY;
        options.delay = ITEM_TIME;
    })
}

mod embedded {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn beside_messages_of_many_megabytes() {
        let _alone = ALONE.lock().await;
        run_cluster(
            options(ClusterOptions::embedded(PROGRAM)),
            beside_sixteen_jobs,
        )
        .await;
    }
}

mod cluster {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn beside_messages_of_many_megabytes() {
        let _alone = ALONE.lock().await;
        run_cluster(options(ClusterOptions::new(PROGRAM)), beside_sixteen_jobs).await;
    }
}
