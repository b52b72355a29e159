//! The job of the demonstration: submitted and watched by the command line client over the public
//! API, then proved against the folder.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use headway_cli::{Console, main_with};
use headway_documents::{
    verify,
    workers::{EXPORT_PIPE, EXPORT_TYPE},
};
use serde_json::json;

use crate::Export;

/// The folders of one demonstration; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Folders {
    /// The folder to export.
    pub source: PathBuf,
    /// Where the archives go.
    pub out: PathBuf,
    /// Where a database may be kept.
    pub data: PathBuf,
    _root: tempfile::TempDir,
}

impl Folders {
    /// Makes them; a source that does not exist gives way to the working directory.
    pub(crate) fn make(export: &Export) -> anyhow::Result<Self> {
        let source = if export.dir.is_dir() {
            export.dir.clone()
        } else {
            std::env::current_dir()?
        };
        let archives = archives(&export.run_dir)
            .with_context(|| format!("cannot make a folder in {}", export.run_dir.display()))?;
        let root = tempfile::Builder::new()
            .prefix("demo-")
            .tempdir_in(archives)?;
        let (out, data) = (root.path().join("archives"), root.path().join("data"));
        std::fs::create_dir_all(&out)?;
        std::fs::create_dir_all(&data)?;
        Ok(Self {
            source: source.canonicalize()?,
            out,
            data,
            _root: root,
        })
    }

    /// The folders that its deployment may read and write.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        vec![self.source.clone(), self.out.clone()]
    }
}

/// The folder of all demonstrations of a run directory, made if it is missing: a server that
/// `serve` runs lets jobs write there.
pub(crate) fn archives(run_dir: &Path) -> Option<PathBuf> {
    let folder = run_dir.join("archives");
    std::fs::create_dir_all(&folder).ok()?;
    folder.canonicalize().ok()
}

/// Submits the job under this id, or one that the server chooses, watches it, and proves the
/// archives.
///
/// # Errors
/// When the job did not complete, or an archive is not what it should be.
pub(crate) async fn run(
    address: &str,
    id: Option<&str>,
    folders: &Folders,
    group: u32,
) -> anyhow::Result<()> {
    let started = Instant::now();
    println!(
        "exporting {} through the API at {address}\n",
        folders.source.display()
    );
    let definition = json!({ "root": folders.source, "group": group });
    let payload = json!({ "source": "{{item}}", "out": folders.out });
    let (definition, payload) = (definition.to_string(), payload.to_string());
    let mut arguments = vec![
        "headway",
        "--server",
        address,
        "run",
        "--display-name",
        "Export documents",
        "--splitter",
        "files",
        "--definition",
        &definition,
        "--pipe",
        EXPORT_PIPE,
        "--type",
        EXPORT_TYPE,
        "--item-payload",
        &payload,
    ];
    if let Some(id) = id {
        arguments.extend(["--id", id]);
    }
    let status = main_with(arguments, &mut Console::system()).await;
    ensure!(u8::from(status) == 0, "the job did not complete");
    let took = started.elapsed();
    let (out, source) = (folders.out.clone(), folders.source.clone());
    let report = tokio::task::spawn_blocking(move || verify(&out, &source)).await??;
    println!();
    ensure!(
        report.is_exact(),
        "the archives are not the folder: {report:?}"
    );
    println!(
        "every file exported, byte for byte: {} files, {:.1} MB, {} archives in {:.1} s",
        report.files,
        report.bytes as f64 / 1e6,
        report.archives,
        took.as_secs_f64()
    );
    Ok(())
}

/// The path of a program that was built beside this one.
pub(crate) fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let mine = std::env::current_exe()?;
    let path = mine.parent().unwrap_or(Path::new(".")).join(name);
    ensure!(
        path.exists(),
        "{} is not built; use `make demo-cluster`",
        path.display()
    );
    Ok(path)
}
