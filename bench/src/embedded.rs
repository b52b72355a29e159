//! Everything in this process: the API, both workers of the control plane, SQLite in a folder of
//! its own, pipes in memory.

use std::sync::Arc;

use anyhow::Context;
use headway_broker::Broker;
use headway_client::{Client, ClientConfig};
use headway_runtime::{config::Config, tasks};
use headway_server::App;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::services;

/// A running embedded deployment.
pub(crate) struct Embedded {
    /// The API, connected over the loopback.
    pub client: Client,
    /// For workers.
    pub broker: Arc<dyn Broker>,
    /// Ends everything.
    pub shutdown: CancellationToken,
    address: String,
    app: JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl Embedded {
    /// Starts a deployment, does `body` with it, stops it and deletes its data, also when `body`
    /// failed.
    pub(crate) async fn with<T>(
        body: impl AsyncFnOnce(&Embedded) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let embedded = Self::start().await?;
        let done = body(&embedded).await;
        embedded.shutdown.cancel();
        let stopped = embedded.app.await.context("the server panicked")?;
        done.and_then(|value| stopped.map(|()| value))
    }

    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let shutdown = CancellationToken::new();
        let config = Config {
            data_dir: folder.path().to_owned(),
            client_share: 100,
            file_roots: vec![services::scratch()],
            ..Config::default()
        };
        let app = App::build(config, shutdown.clone()).await?;
        let broker = app.broker();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let app = tasks::spawn(app.run(Some(listener)));
        let client = Client::connect(ClientConfig::new(format!("http://{address}"))).await?;
        Ok(Self {
            client,
            broker,
            shutdown,
            address,
            app,
            _folder: folder,
        })
    }

    /// Another connection to the API.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(ClientConfig::new(format!("http://{}", self.address))).await?)
    }
}
