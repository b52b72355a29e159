use futures::StreamExt;
use headway_client::{
    Client, Error,
    v1::{EventKind, WatchEventsRequest},
};

/// The name of the first job that completes after a cursor; "" for from now on.
pub async fn first_completed(
    client: &Client,
    partition: &str,
    after: &str,
) -> Result<String, Error> {
    let mut events = client.watch_events(WatchEventsRequest {
        parent: format!("partitions/{partition}"),
        kinds: vec![EventKind::JobCompleted.into()],
        resume_token: after.to_owned(),
        ..WatchEventsRequest::default()
    });
    let mut job = String::new();
    if let Some(event) = events.next().await {
        job = event?.job;
    }
    Ok(job)
}
