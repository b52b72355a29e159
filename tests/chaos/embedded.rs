//! The embedded server with its disk, killed and started again: its pipes start empty, its database
//! does not.

use headway::v1::JobState;
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone, plan::Plan};

const ITEMS: u32 = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_is_killed() {
    alone(
        ClusterOptions::embedded(PROGRAM),
        |cluster, _services| async move {
            let mut plan = Plan::of_environment();
            let name = cluster.create("killed", range(ITEMS, 2000).build()).await;
            let kills = async {
                for turn in 1..=3 {
                    cluster.ran(plan.moment(ITEMS, turn, 5)).await;
                    cluster.restart(Role::Embedded, 0).await.unwrap();
                }
            };
            let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), kills);
            assert_eq!(outcome_counts(&job), [ITEMS.into(), ITEMS.into(), 0, 0]);
            cluster.items().assert_at_least_once(ITEMS);
        },
    )
    .await;
}
