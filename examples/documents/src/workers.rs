//! The two workers: handlers over the file work of this crate. It blocks, so it runs on threads of
//! its own.

use headway_files::FileRoots;
use headway_worker::{CancellationToken, Outcome, Task, TaskError, Worker, WorkerBuilder};
use serde::de::DeserializeOwned;

use crate::archive::{self, Export};
use crate::source::output_name;
use crate::tags::{self, Tag};

/// The pipe of the export worker.
pub const EXPORT_PIPE: &str = "documents.export";
/// The task type of the export worker.
pub const EXPORT_TYPE: &str = "export";
/// The pipe of the tag worker.
pub const TAG_PIPE: &str = "documents.tag";

const JSON: &str = "application/json";

/// A worker that exports files of these folders into these folders; it still needs a broker.
pub fn export_worker(roots: FileRoots) -> WorkerBuilder {
    Worker::builder()
        .pipe(EXPORT_PIPE)
        .handler(move |task| export(task, roots.clone()))
}

/// A worker that tags files of these folders into these folders; it still needs a broker.
pub fn tag_worker(roots: FileRoots) -> WorkerBuilder {
    Worker::builder()
        .pipe(TAG_PIPE)
        .handler(move |task| tag(task, roots.clone()))
}

/// The handler of `documents.export`: payload [`Export`], result the archive's manifest.
///
/// # Errors
/// See [`archive::export`].
pub async fn export(task: Task, roots: FileRoots) -> Result<Outcome, TaskError> {
    let manifest = blocking(&task, move |item: Export, token, task| {
        let name = output_name(task.job(), &task.item());
        archive::export(&item, &name, &roots, token, |fraction| {
            task.progress(fraction)
        })
    })
    .await?;
    Ok(Outcome::done_with_result(
        serde_json::to_vec(&manifest)?,
        JSON,
    ))
}

/// The handler of `documents.tag`: payload [`Tag`]. Forwards if the payload says what comes then.
///
/// # Errors
/// See [`tags::tag`].
pub async fn tag(task: Task, roots: FileRoots) -> Result<Outcome, TaskError> {
    let item = blocking(&task, move |item: Tag, token, task| {
        let name = output_name(task.job(), &task.item());
        tags::tag(&item, &name, &roots, token, |fraction| {
            task.progress(fraction)
        })?;
        Ok(item)
    })
    .await?;
    let Some(then) = item.then else {
        return Ok(Outcome::done());
    };
    let next = serde_json::to_vec(&Export {
        source: item.source,
        out: then.out,
    })?;
    Ok(Outcome::forward(then.pipe, then.task_type, next, JSON))
}

/// Reads the payload and does the work on a thread that may block.
async fn blocking<P, R>(
    task: &Task,
    work: impl FnOnce(P, &CancellationToken, &Task) -> Result<R, TaskError> + Send + 'static,
) -> Result<R, TaskError>
where
    P: DeserializeOwned,
    R: Send + 'static,
{
    let task = task.clone();
    let working = tokio::task::spawn_blocking(move || {
        let payload = task.payload()?;
        work(payload, &task.cancellation(), &task)
    });
    match working.await {
        Ok(result) => result,
        // Goes on as if the handler itself had panicked: the SDK reports it.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}
