//! a: messages through one quorum queue, by the client library alone: published with confirms in
//! windows, consumed and acknowledged many at a time, all at once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{FutureExt, StreamExt, future::try_join_all};
use headway_runtime::tasks;
use lapin::{
    BasicProperties, Channel, Connection,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};

use super::Bench;
use crate::{report::Row, services::Scope, sizes::MESSAGE_BYTES};

/// Messages of one publisher that wait for their confirms.
const WINDOW: usize = 1000;
/// Deliveries that are not acknowledged.
const PREFETCH: u16 = 2000;
/// How many publishers are tried; the best counts.
const PUBLISHERS: [usize; 3] = [1, 2, 4];
/// A message may take this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures the raw limit of the broker.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let services = bench.services()?;
    let publishing = services.broker().await?;
    let consuming = services.broker().await?;
    let queue = format!("{}.raw", Scope::new("a").prefix);
    let mut best: f64 = 0.0;
    for publishers in PUBLISHERS {
        let rate = through(
            &publishing,
            &consuming,
            &queue,
            publishers,
            bench.sizes.messages,
        )
        .await;
        let channel = consuming.create_channel().await?;
        channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
        let rate = rate?;
        eprintln!("  {publishers} publishers: {rate:.0} messages/s");
        best = best.max(rate);
    }
    publishing.close(200, "done".into()).await?;
    consuming.close(200, "done".into()).await?;
    bench.add(Row::new("a.broker_msgs_per_s", best));
    Ok(())
}

async fn through(
    publishing: &Connection,
    consuming: &Connection,
    queue: &str,
    publishers: usize,
    messages: usize,
) -> anyhow::Result<f64> {
    let channel = consuming.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), options, arguments)
        .await?;
    let mut channels = Vec::with_capacity(publishers);
    for _ in 0..publishers {
        let channel = publishing.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channels.push(channel);
    }
    let each = messages / publishers;
    let begin = Instant::now();
    let consumer = tasks::spawn(consume(channel, queue.to_owned(), each * publishers));
    let publishers = channels
        .into_iter()
        .map(|channel| tasks::spawn(publish(channel, queue.to_owned(), each)));
    for published in try_join_all(publishers).await? {
        published?;
    }
    consumer.await??;
    Ok(messages as f64 / begin.elapsed().as_secs_f64())
}

async fn publish(channel: Channel, queue: String, messages: usize) -> anyhow::Result<()> {
    let body = vec![b'x'; MESSAGE_BYTES];
    let mut waiting = VecDeque::with_capacity(WINDOW);
    for _ in 0..messages {
        if waiting.len() == WINDOW
            && let Some(confirm) = waiting.pop_front()
        {
            confirmed(confirm).await?;
        }
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let sent =
            channel.basic_publish("".into(), queue.as_str().into(), options, &body, properties);
        waiting.push_back(sent.await?);
    }
    for confirm in waiting {
        confirmed(confirm).await?;
    }
    channel.close(200, "done".into()).await?;
    Ok(())
}

async fn confirmed(confirm: lapin::PublisherConfirm) -> anyhow::Result<()> {
    let confirmation = tokio::time::timeout(PATIENCE, confirm)
        .await
        .context("RabbitMQ did not confirm a message within 30 s")??;
    anyhow::ensure!(confirmation.is_ack(), "RabbitMQ refused a message");
    Ok(())
}

async fn consume(channel: Channel, queue: String, messages: usize) -> anyhow::Result<()> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions { global: false })
        .await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await?;
    let mut left = messages;
    while left > 0 {
        let first = tokio::time::timeout(PATIENCE, deliveries.next())
            .await
            .context("RabbitMQ delivered nothing for 30 s")?;
        let mut last = first.context("RabbitMQ ended the consumer")??;
        left -= 1;
        let mut gathered = 1;
        // Whatever is here already is acknowledged together.
        while gathered < usize::from(PREFETCH) / 2
            && let Some(Some(delivery)) = deliveries.next().now_or_never()
        {
            last = delivery?;
            left = left.saturating_sub(1);
            gathered += 1;
        }
        last.ack(BasicAckOptions { multiple: true }).await?;
    }
    channel.close(200, "done".into()).await?;
    Ok(())
}
