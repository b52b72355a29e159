//! SIGKILL of each role in the middle of one job, one after the other.

use headway::v1::JobState;
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone, plan::Plan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_is_killed_in_turn() {
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        options.roles.insert(Role::Tracking, 2);
        options.concurrency = 32;
    });
    alone(options, |cluster, _services| async move {
        let mut plan = Plan::of_environment();
        let items = plan.size(50_000, 25_000);
        let spec = range(items, 2000).items_per_message(5).build();
        let name = cluster.create("killed", spec).await;
        let kills = async {
            let roles = [
                (Role::Batch, 0),
                (Role::Tracking, 0),
                (Role::Worker, 0),
                (Role::Server, 0),
                (Role::Tracking, 1),
                (Role::Worker, 0),
                (Role::Batch, 0),
            ];
            for (turn, (role, number)) in (1..).zip(roles) {
                cluster.ran(plan.moment(items, turn, 10)).await;
                cluster.restart(role, number).await.unwrap();
            }
        };
        let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), kills);
        assert_eq!(outcome_counts(&job), [items.into(), items.into(), 0, 0]);
        cluster.items().assert_at_least_once(items);
    })
    .await;
}
