//! The server that `make serve` runs: where it is said to be, and a demonstration on it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use headway_client::{Client, ClientConfig};

use crate::{
    Export,
    job::{self, Folders},
};

/// The file in the server's data folder that says where it is.
const ADDRESS: &str = "address";
/// How long a server may take to answer; where a file was left behind nobody does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says where the server is until this is dropped.
#[derive(Debug)]
pub(crate) struct Told(PathBuf);

impl Drop for Told {
    fn drop(&mut self) {
        // What is left behind names a server that does not answer.
        let _ = fs::remove_file(&self.0);
    }
}

/// Says in the data folder where the server is.
pub(crate) fn tell(data_dir: &Path, address: SocketAddr) -> anyhow::Result<Told> {
    fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let path = data_dir.join(ADDRESS);
    fs::write(&path, format!("http://{address}\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Told(path))
}

/// The address of the server that `make serve` runs now.
pub(crate) async fn find(run_dir: &Path) -> Option<String> {
    let address = fs::read_to_string(run_dir.join("serve").join(ADDRESS)).ok()?;
    let address = address.trim().to_owned();
    let mut config = ClientConfig::new(&address);
    config.connect_timeout = PATIENCE;
    config.request_timeout = PATIENCE;
    let client = Client::connect(config).await.ok()?;
    client.count_jobs("default").await.ok()?;
    Some(address)
}

/// Exports a folder by that server and its workers, and proves it. The job stays there, to be
/// looked at.
pub(crate) async fn export(address: &str, export: &Export) -> anyhow::Result<()> {
    println!("the server of `make serve` is used; follow the job at {address}/");
    let folders = Folders::make(export)?;
    job::run(address, None, &folders, export.group).await
}
