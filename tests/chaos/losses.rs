//! One queue is emptied and another deleted in the middle of a job: smaller losses than all of a
//! broker's data.

use std::{sync::Arc, time::Duration};

use headway::v1::JobState;
use headway_broker::{Broker, Queue};
use headway_tests::{ClusterOptions, PATIENCE, Role, WORK, outcome_counts, range, until};

use crate::{PROGRAM, alone, plan::Plan};

const ITEMS: u32 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_purged_and_deleted() {
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        options.roles.insert(Role::Worker, 2);
        options.delay = Duration::from_millis(2);
        options.config.lease_after = Duration::from_secs(1);
        options.config.repair_margin = Duration::from_secs(1);
    });
    alone(options, |cluster, _services| async move {
        let mut plan = Plan::of_environment();
        let name = cluster.create("losses", range(ITEMS, 500).build()).await;
        let broker = cluster.broker();
        let losses = async {
            let work = Queue::Pipe(WORK.to_owned());
            cluster.ran(plan.moment(ITEMS, 1, 10)).await;
            until("something to lose", PATIENCE, || async {
                (broker.depth(&work).await.unwrap().ready > 0).then_some(())
            })
            .await;
            broker.purge(&work).await.unwrap();
            cluster.ran(plan.moment(ITEMS, 1, 4)).await;
            broker.delete(&work).await.unwrap();
            cluster.ran(plan.moment(ITEMS, 1, 2)).await;
            // Reports gather while nobody reads them. Those that come back to the queue first may be
            // applied already: the process was killed before it could acknowledge them.
            let mut tracking = cluster.process(Role::Tracking, 0).await;
            tracking.kill().await.unwrap();
            let shards = cluster.store().shards();
            let back = until("the reports to come back", PATIENCE, || {
                unread(&broker, shards)
            })
            .await;
            let shard = until("reports to lose", PATIENCE, || async {
                let now = unread(&broker, shards).await?;
                let mut grown = (0..shards).zip(now.iter().zip(&back));
                grown
                    .find(|(_, (now, before))| now > before)
                    .map(|(shard, _)| shard)
            })
            .await;
            broker.purge(&Queue::Reports(shard)).await.unwrap();
            broker.delete(&Queue::Reports(shard)).await.unwrap();
            broker.delete(&Queue::Batch).await.unwrap();
            tracking.start().await.unwrap();
        };
        let (job, ()) = tokio::join!(cluster.finish(&name, JobState::Completed), losses);
        assert_eq!(outcome_counts(&job), [ITEMS.into(), ITEMS.into(), 0, 0]);
        let again = cluster.items().assert_at_least_once(ITEMS);
        assert!(again > 0, "what was reported and lost runs again");
    })
    .await;
}

/// How many reports wait in each shard's queue; none while something still consumes one of them.
async fn unread(broker: &Arc<dyn Broker>, shards: u16) -> Option<Vec<u64>> {
    let mut ready = Vec::new();
    for shard in 0..shards {
        let depth = broker.depth(&Queue::Reports(shard)).await.unwrap();
        if depth.consumers > 0 {
            return None;
        }
        ready.push(depth.ready);
    }
    Some(ready)
}
