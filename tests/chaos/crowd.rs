//! Twelve processes of each role, coming and going.

use std::time::Duration;

use headway::v1::JobState;
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone, plan::Plan};

const CROWD: usize = 12;
/// More than the crowd, so that the job still runs when the last ones go.
const PARTS: u32 = 17;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_of_each_role_come_and_go() {
    let roles = [Role::Tracking, Role::Batch, Role::Worker];
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        for role in roles {
            options.roles.insert(role, CROWD);
        }
        options.config.database_connections = 1;
        options.concurrency = 4;
        options.deadline = Duration::from_secs(180);
    });
    alone(options, |cluster, _services| async move {
        let mut plan = Plan::of_environment();
        let items = plan.size(10_000, 5_000);
        let name = cluster.create("crowd", range(items, 300).build()).await;
        let come_and_go = async {
            for (number, turn) in (0..CROWD).zip(1..) {
                cluster.ran(plan.moment(items, turn, PARTS)).await;
                for (role, other) in [(Role::Tracking, 0), (Role::Batch, 1), (Role::Worker, 2)] {
                    let mut process = cluster.process(role, (number + other) % CROWD).await;
                    // Every other one ends in order, the rest does not.
                    match number % 2 {
                        0 => process.stop().await.unwrap(),
                        _ => process.kill().await.unwrap(),
                    }
                    process.launch().await.unwrap();
                }
            }
        };
        let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), come_and_go);
        assert_eq!(outcome_counts(&job), [items.into(), items.into(), 0, 0]);
        cluster.items().assert_at_least_once(items);
    })
    .await;
}
