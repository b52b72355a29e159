//! The services go away in the middle of a job and come back, with and without their data.

use std::time::Duration;

use headway::v1::JobState;
use headway_tests::{Cluster, ClusterOptions, Role, Services, outcome_counts, range};

use crate::{PROGRAM, alone, plan::Plan};

/// RabbitMQ writes down half a second late that a quorum queue exists: killed before that, it
/// starts the queue again without a leader, and the queue is of no use from then on (reported of
/// 3.8 up to 4.x). Nothing tells when it has.
const WRITTEN_DOWN: Duration = Duration::from_secs(1);

fn options() -> ClusterOptions {
    ClusterOptions::new(PROGRAM).with(|options| {
        options.roles.insert(Role::Tracking, 2);
        options.roles.insert(Role::Batch, 2);
        options.roles.insert(Role::Worker, 2);
        options.config.lease_after = Duration::from_secs(5);
        options.config.repair_margin = Duration::from_secs(2);
    })
}

/// Runs a job, and commands of the services, and again, while it runs.
async fn through(cluster: Cluster, services: Services, pause: Duration, commands: [&str; 2]) {
    tokio::time::sleep(WRITTEN_DOWN).await;
    let mut plan = Plan::of_environment();
    let items = plan.size(20_000, 10_000);
    let name = cluster
        .create("through", range(items, 1000).items_per_message(2).build())
        .await;
    let outage = async {
        cluster.ran(plan.moment(items, 1, 5)).await;
        services.run(commands[0]).await.unwrap();
        // The length of the outage is what is tested.
        tokio::time::sleep(pause).await;
        services.run(commands[1]).await.unwrap();
    };
    let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), outage);
    assert_eq!(outcome_counts(&job), [items.into(), items.into(), 0, 0]);
    cluster.items().assert_at_least_once(items);
    // And the next one meets with nothing unusual.
    let name = cluster.create("after", range(200, 50).build()).await;
    let job = cluster.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [200, 200, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_killed_and_started_again() {
    alone(options(), |cluster, services| {
        through(
            cluster,
            services,
            Duration::ZERO,
            ["kill-rabbit", "start-rabbit"],
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_loses_everything() {
    alone(options(), |cluster, services| {
        through(
            cluster,
            services,
            Duration::ZERO,
            ["wipe-rabbit", "start-rabbit"],
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_away_for_ten_seconds() {
    alone(options(), |cluster, services| {
        let away = Duration::from_secs(10);
        through(cluster, services, away, ["kill-postgres", "start-postgres"])
    })
    .await;
}
