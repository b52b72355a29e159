//! Partitions share a pipe by their weights.

use std::{collections::BTreeMap, time::Duration};

use headway::v1::{JobState, Partition};
use headway_client::JobName;
use headway_tests::{Deployment, PATIENCE, range, until};

use super::of;
use crate::pipes::order::Order;

on_both!(partitions_share_by_weight,);

async fn weigh(d: &Deployment, partition: &str, weight: i32) {
    let partition = Partition {
        name: format!("partitions/{partition}"),
        weight,
        ..Partition::default()
    };
    let set = d.client().update_partition(partition, &["weight"]).await;
    assert_eq!(set.unwrap().weight, weight);
}

async fn partitions_share_by_weight(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    weigh(&d, "heavy", 3).await;
    let client = d.client();
    for (partition, id) in [
        ("heavy", "a"),
        ("heavy", "b"),
        ("light", "c"),
        ("default", "d"),
    ] {
        let request = of(partition, id, range(100_000, 1000).build());
        client.create_job(request).await.unwrap();
    }
    until("shares to settle", PATIENCE, || async {
        (order.len() > 3000).then_some(())
    })
    .await;
    let from = order.len();
    until("enough to count", PATIENCE, || async {
        (order.len() > from + 4000).then_some(())
    })
    .await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for job in &order.jobs()[from..from + 4000] {
        *counts.entry(job.clone()).or_default() += 1;
    }
    for (partition, id, fair) in [
        ("heavy", "a", 1200.0),
        ("heavy", "b", 1200.0),
        ("light", "c", 800.0),
        ("default", "d", 800.0),
    ] {
        let name = JobName::new(partition, id).unwrap();
        let count = counts.get(&name.to_string()).copied().unwrap_or(0) as f64;
        let off = (count - fair).abs() / fair;
        assert!(off <= 0.1, "{name} got {count} of {fair}: {counts:?}");
        client.cancel_job(&name).await.unwrap();
        d.finish(&name, JobState::Cancelled).await;
    }
}
