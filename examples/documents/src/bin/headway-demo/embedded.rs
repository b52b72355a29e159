//! Everything in this process.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use headway_documents::workers::{export_worker, tag_worker};
use headway_files::FileRoots;
use headway_runtime::{config::Config, tasks};
use headway_server::App;
use headway_worker::WorkerError;
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Export,
    job::{self, Folders},
    served,
};

/// How long workers may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// Exports a folder and proves it.
pub(crate) async fn export(export: &Export) -> anyhow::Result<()> {
    let folders = Folders::make(export)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let config = Config {
        data_dir: folders.data.clone(),
        file_roots: folders.roots(),
        ..Config::default()
    };
    let server = tasks::spawn(run(config, listener, shutdown.clone()));
    let outcome = job::run(&address, Some("export-documents"), &folders, export.group).await;
    shutdown.cancel();
    let ended = server.await.context("the server panicked")?;
    outcome.and(ended)
}

/// Serves until a signal.
pub(crate) async fn serve(
    listen: SocketAddr,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    println!(
        "serving at http://{address}, data in {}; workers: documents.export, documents.tag",
        config.data_dir.display()
    );
    println!("dashboard: http://{address}/");
    println!("try: headway --server http://{address} ls, or `make demo` in another terminal");
    let _told = served::tell(&config.data_dir, address)?;
    run(config, listener, shutdown).await
}

/// Runs a server with all roles and the document workers on its pipes.
async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let roots = FileRoots::new(config.file_roots.iter().cloned());
    let app = tokio::select! {
        app = App::build(config, CancellationToken::new()) => app?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let mut workers: JoinSet<Result<(), WorkerError>> = JoinSet::new();
    for builder in [export_worker(roots.clone()), tag_worker(roots)] {
        let worker = builder
            .broker(app.broker())
            .concurrency(8)
            .drain(DRAIN)
            .build()?;
        workers.spawn(worker.run(shutdown.clone()));
    }
    let drained = async {
        while let Some(worker) = workers.join_next().await {
            if let Err(error) = worker? {
                tracing::debug!(%error, "a worker ended");
            }
        }
        Ok::<_, JoinError>(())
    };
    Ok(app.run_with_workers(Some(listener), drained).await??)
}
