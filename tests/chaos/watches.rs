//! A watch while its server is killed again and again.

use std::time::Duration;

use futures::StreamExt;
use headway::v1::JobState;
use headway_client::is_final;
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone};

const ITEMS: u32 = 20_000;
const KILLS: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_survives_ten_kills_of_its_server() {
    let options = ClusterOptions::new(PROGRAM).with(|options| options.concurrency = 16);
    alone(options, |cluster, _services| async move {
        let name = cluster
            .create("watched", range(ITEMS, 500).items_per_message(2).build())
            .await;
        let kills = async {
            for turn in 1..=KILLS {
                cluster.ran(turn * ITEMS / (KILLS + 2)).await;
                cluster.restart(Role::Server, 0).await.unwrap();
            }
        };
        let watching = async {
            let mut states = cluster.client().watch(&name, Some(Duration::ZERO));
            let mut last: Option<headway::v1::Job> = None;
            while let Some(state) = states.next().await {
                let job = state.unwrap();
                if let Some(before) = &last {
                    assert_eq!(before.uid, job.uid);
                    assert!(!is_final(before.state()), "a state after the final one");
                    assert!(
                        job.revision > before.revision,
                        "{} came after {}",
                        job.revision,
                        before.revision
                    );
                }
                last = Some(job);
            }
            last.unwrap()
        };
        let (last, ()) = tokio::join!(watching, kills);
        assert_eq!(last.state(), JobState::Completed);
        assert_eq!(outcome_counts(&last), [ITEMS.into(), ITEMS.into(), 0, 0]);
        let job = cluster.finish(&name, JobState::Completed).await;
        assert!(last.revision >= job.revision, "the final state was missed");
    })
    .await;
}
