//! Twelve processes of each role, coming and going.

use std::time::Duration;

use headway::v1::JobState;
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone};

const ITEMS: u32 = 10_000;
const CROWD: usize = 12;

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
        let name = cluster.create("crowd", range(ITEMS, 300).build()).await;
        let turns = async {
            for number in 0..CROWD {
                cluster.ran(u32::try_from(number * 600).unwrap()).await;
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
        let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), turns);
        assert_eq!(outcome_counts(&job), [ITEMS.into(), ITEMS.into(), 0, 0]);
        cluster.items().assert_at_least_once(ITEMS);
    })
    .await;
}
