//! Jobs of one pipe that go before others.

use std::time::Duration;

use headway::v1::{JobSpec, JobState};
use headway_tests::{Deployment, PATIENCE, range, until};

use super::order::Order;

on_both!(the_important_go_first, what_becomes_important_goes_first,);

async fn the_important_go_first(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    let many = d
        .create("many", range(100_000, 1000).priority(1).build())
        .await;
    until("a rate to be measured", PATIENCE, || async {
        (order.len() > 1500).then_some(())
    })
    .await;
    let urgent = range(2500, 500).priority(9).build();
    let urgent = d.create("urgent", urgent).await;
    d.finish(&urgent, JobState::Completed).await;
    d.client().cancel_job(&many).await.unwrap();
    d.finish(&many, JobState::Cancelled).await;
    let jobs = order.jobs();
    let name = urgent.to_string();
    let first = jobs.iter().position(|job| *job == name).unwrap();
    let last = jobs.iter().rposition(|job| *job == name).unwrap();
    let among = &jobs[first..=last];
    let others = among.iter().filter(|job| **job != name).count();
    // What was sent before, about half a second of it, still stands before.
    assert!(others < 1250, "{others} items of another job among 2500");
}

async fn what_becomes_important_goes_first(d: Deployment) {
    let order = Order::default();
    d.worker(|worker| {
        worker
            .concurrency(4)
            .handler(order.handler(Duration::from_millis(4)))
    });
    let one = d.create("one", range(100_000, 1000).build()).await;
    let other = d.create("other", range(100_000, 1000).build()).await;
    until("a rate to be measured", PATIENCE, || async {
        (order.len() > 1500).then_some(())
    })
    .await;
    let client = d.client();
    let urgent = JobSpec {
        priority: Some(9),
        ..JobSpec::default()
    };
    let update = client.update_job(&other, urgent, &["spec.priority"]);
    update.await.unwrap();
    let from = order.len();
    until("enough to count", PATIENCE, || async {
        (order.len() > from + 3000).then_some(())
    })
    .await;
    // What was sent before, about half a second of it, still stands before.
    let jobs = &order.jobs()[from + 1000..from + 3000];
    let first = one.to_string();
    let others = jobs.iter().filter(|job| **job == first).count();
    assert!(others < 200, "{others} items of the other job among 2000");
    for name in [&one, &other] {
        client.cancel_job(name).await.unwrap();
        d.finish(name, JobState::Cancelled).await;
    }
}
