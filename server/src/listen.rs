//! The listener: the services on one port, health that follows readiness, and a shutdown with an
//! end.

use anyhow::Context;
use headway::v1::{
    event_service_server::{self, EventServiceServer},
    job_service_server::{self, JobServiceServer},
    job_type_service_server::{self, JobTypeServiceServer},
    partition_service_server::{self, PartitionServiceServer},
    pipe_service_server::{self, PipeServiceServer},
    schedule_service_server::{self, ScheduleServiceServer},
};
use headway_runtime::Readiness;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    codec::CompressionEncoding,
    service::{LayerExt, Routes},
};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;

use crate::{
    MAX_REQUEST_BYTES, ServerParts, accept, dashboard,
    edge::EdgeLayer,
    gate::GateLayer,
    gateway,
    grpc::{Api, WatchJob},
    identity::IdentityLayer,
    intake::{Gauge, Intake},
    watch::{Hub, HubTask, PartitionPoller, Partitions},
};

/// Serves clients on this listener until `shutdown`. Then it ends open watches at once, and running
/// calls and unfinished publications within [`crate::Limits::drain`].
///
/// # Errors
/// If the listener or a part of the server fails. The shutdown itself is no error, even if
/// something was left behind: unpublished messages are in the outbox.
pub async fn serve(
    listener: TcpListener,
    parts: ServerParts,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // A token of our own, so that a failing part ends the streams too.
    let stopping = shutdown.child_token();
    let _stop_on_error = stopping.clone().drop_guard();
    let hub = Hub::new(parts.limits.watches);
    let partitions = Partitions::new(parts.limits.partition_watches);
    let tasks = TaskTracker::new();

    let mut background = JoinSet::new();
    let hub_task = HubTask::new(
        hub.clone(),
        partitions.clone(),
        parts.relay.store().clone(),
        parts.relay.broker().clone(),
        parts.limits.repair_interval,
    );
    background.spawn(hub_task.run(stopping.clone()));
    let poller = PartitionPoller::new(
        partitions.clone(),
        parts.relay.store().clone(),
        parts.limits.repair_interval,
    );
    background.spawn(poller.run(stopping.clone()));
    let reporter = HealthReporter::new();
    // The reporter begins as serving, which is wrong before readiness says so.
    report(&reporter, ServingStatus::NotServing).await;
    background.spawn(follow_readiness(
        reporter.clone(),
        parts.readiness.clone(),
        stopping.clone(),
    ));

    let api = Api::new(&parts, hub, partitions, tasks.clone(), stopping.clone());
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let web = GrpcWebLayer::new();
    let health = HealthServer::new(HealthService::from_health_reporter(reporter));
    let gauge = Gauge::new(parts.limits.body_pause)?;
    // Every service of ours takes the same requests, and is served to browsers too.
    macro_rules! ours {
        ($server:ident) => {
            $server::new(api.clone())
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
        };
        (web $service:expr) => {
            web.named_layer(Intake::new($service, gauge.clone()))
        };
    }
    let jobs = WatchJob::new(api.clone(), ours!(JobServiceServer));
    let mut routes = Routes::new(ours!(web jobs))
        .add_service(ours!(web ours!(ScheduleServiceServer)))
        .add_service(ours!(web ours!(JobTypeServiceServer)))
        .add_service(ours!(web ours!(PartitionServiceServer)))
        .add_service(ours!(web ours!(PipeServiceServer)))
        .add_service(ours!(web ours!(EventServiceServer)))
        .add_service(web.named_layer(health))
        .add_service(descriptors().build_v1()?)
        .add_service(descriptors().build_v1alpha()?);
    let pages = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = pages
        .route(gateway::HEALTH, gateway::health(parts.readiness.clone()))
        .fallback(dashboard::serve);
    let service = ServiceBuilder::new()
        .layer(GateLayer::new(&parts.hosts, &parts.web_origins))
        .layer(gateway::cors(&parts.web_origins))
        .layer(IdentityLayer)
        .layer(EdgeLayer::new(&parts.limits))
        .service(routes.prepare());
    let server = accept::serve(listener, service, &parts.limits, stopping.clone());
    let mut server = std::pin::pin!(server);
    tracing::info!(%address, "listening");

    let mut served = false;
    tokio::select! {
        () = &mut server => served = true,
        Some(ended) = background.join_next() => {
            // Parts run until the shutdown; an earlier end is a fault.
            ended.context("a part of the server panicked")??;
            if !stopping.is_cancelled() {
                anyhow::bail!("a part of the server ended early");
            }
        }
        () = stopping.cancelled() => {}
    }
    // From here on everything ends by itself. The deadline is for clients that do not react.
    let deadline = Instant::now() + parts.limits.drain;
    stopping.cancel();
    if !served
        && tokio::time::timeout_at(deadline, &mut server)
            .await
            .is_err()
    {
        tracing::warn!("connections did not end in time; closing them");
    }
    tasks.close();
    if tokio::time::timeout_at(deadline, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = tasks.len(),
            "changes were not published before the shutdown; they stay in the outbox"
        );
    }
    Ok(())
}

/// What health is asked about: the server as a whole, and each of its services.
const HEALTH_OF: [&str; 7] = [
    "",
    job_service_server::SERVICE_NAME,
    schedule_service_server::SERVICE_NAME,
    job_type_service_server::SERVICE_NAME,
    partition_service_server::SERVICE_NAME,
    pipe_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
];

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in HEALTH_OF {
        reporter.set_service_status(service, status).await;
    }
}

/// Reports what readiness says until the shutdown, and then NOT_SERVING.
async fn follow_readiness(
    mut reporter: HealthReporter,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut serving = readiness.subscribe();
    loop {
        let status = if *serving.borrow_and_update() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        report(&reporter, status).await;
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = serving.changed() => changed.context("readiness is gone")?,
        }
    }
    report(&reporter, ServingStatus::NotServing).await;
    // Ends the streams of clients that watch health: an open stream would hold up the shutdown.
    for service in HEALTH_OF {
        reporter.clear_service_status(service).await;
    }
    Ok(())
}

/// The descriptors of everything that is served, for clients that do not know it.
fn descriptors() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(headway::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}
