//! Chains of jobs whose roles are killed while one job after the other ends: no release is lost,
//! and none comes early.

use std::collections::HashMap;

use headway::v1::{BatchCreateJobsEntry, Job, JobState};
use headway_client::{BatchBuilder, JobBuilder};
use headway_tests::{Cluster, ClusterOptions, Role, WORK, job_named, name, run_cluster};
use serde_json::json;
use std::time::Duration;

use crate::{PROGRAM, alone, plan::Plan};

const CHAINS: u32 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_cluster() {
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        options.roles.insert(Role::Tracking, 2);
        options.delay = Duration::from_millis(20);
    });
    alone(options, |cluster, _services| async move {
        let roles = [
            (Role::Tracking, 0),
            (Role::Server, 0),
            (Role::Tracking, 1),
            (Role::Batch, 0),
            (Role::Tracking, 0),
        ];
        outlive(&cluster, Plan::of_environment(), &roles).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_embedded_server() {
    let options = ClusterOptions::embedded(PROGRAM).with(|options| {
        options.delay = Duration::from_millis(20);
    });
    run_cluster(options, |cluster| async move {
        outlive(&cluster, Plan::of_environment(), &[(Role::Embedded, 0); 4]).await;
    })
    .await;
}

fn id(chain: u32, link: u32) -> String {
    format!("c{chain}-{link}")
}

/// A job of one item, whose number tells it from all others.
fn link(chain: u32, links: u32, link: u32) -> BatchCreateJobsEntry {
    let number = chain * links + link;
    let batch = BatchBuilder::new("range")
        .json(&json!({"from": number, "to": number + 1}))
        .item(WORK, "number");
    let mut job = JobBuilder::new(batch);
    if link > 0 {
        job = job.after(job_named(id(chain, link - 1)));
    }
    BatchCreateJobsEntry {
        job_id: id(chain, link),
        spec: Some(job.build()),
        ..BatchCreateJobsEntry::default()
    }
}

/// Kills one process after the other while the chains run, the last links of which were there
/// first.
async fn outlive(cluster: &Cluster, mut plan: Plan, roles: &[(Role, usize)]) {
    let links = plan.size(20, 12);
    let items = CHAINS * links;
    for half in [links / 2..links, 0..links / 2] {
        let jobs = (0..CHAINS).flat_map(|chain| half.clone().map(move |n| link(chain, links, n)));
        let made = cluster.client().create_jobs("default", jobs.collect());
        assert!(made.await.unwrap().iter().all(Result::is_ok));
    }
    let kills = async {
        let parts = u32::try_from(roles.len()).expect("a few") + 1;
        for (turn, (role, number)) in (1..).zip(roles) {
            cluster.ran(plan.moment(items, turn, parts)).await;
            cluster.restart(*role, *number).await.unwrap();
        }
    };
    let ends = async {
        let mut jobs = HashMap::new();
        for chain in 0..CHAINS {
            for link in (0..links).rev() {
                let job = name(&id(chain, link));
                let job = cluster.finish(&job, JobState::Completed).await;
                jobs.insert((chain, link), job);
            }
        }
        jobs
    };
    let (jobs, ()) = tokio::join!(ends, kills);
    let time = |time: Option<prost_types::Timestamp>| {
        let time = time.expect("is set");
        (time.seconds, time.nanos)
    };
    let begun = |job: &Job| time(job.start_time);
    let ended = |job: &Job| time(job.end_time);
    for chain in 0..CHAINS {
        for link in 1..links {
            let (before, after) = (&jobs[&(chain, link - 1)], &jobs[&(chain, link)]);
            assert!(ended(before) <= begun(after), "{} was early", after.name);
        }
    }
    cluster.items().assert_at_least_once(items);
}
