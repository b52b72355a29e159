//! ListBatches.

use headway::v1;
use headway_domain::{Error, JobName};
use headway_splitters::title;
use headway_store::BatchView;

use crate::grpc::{
    api::{Api, now},
    request,
    status::ApiError,
    tokens::Query,
    values::{int, narrow},
    violations::Violations,
};

impl Api {
    pub(crate) async fn list_batches(
        &self,
        request: v1::ListBatchesRequest,
    ) -> Result<v1::ListBatchesResponse, ApiError> {
        let mut violations = Violations::default();
        let parent = violations.take(batch_parent(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        let ((job, parent), size) = violations.values((parent, size))?;
        let query = Query::new("batches").with(&request.parent);
        let above = match query.keys(&request.page_token, now())? {
            Some([number, _]) => u32::try_from(number).map_err(|_| Error::PageToken)?,
            None => 0,
        };
        let page = self.store().list_batches(&job, parent, above, size).await?;
        let batches = page.batches.iter();
        let unreadable = page.unreadable.iter();
        let next_page_token = page
            .next
            .map(|number| query.token([number.into(), 0], now()));
        Ok(v1::ListBatchesResponse {
            batches: batches.map(|view| batch(&job, view)).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
            unreadable: unreadable
                .map(|number| format!("{job}/batches/{number}"))
                .collect(),
        })
    }
}

/// A batch's parent: a job for its root, or one of its batches.
pub(crate) fn batch_parent(parent: &str) -> Result<(JobName, Option<u32>), Error> {
    // The partition and the job, too, may be called `batches`.
    let (job, number) = match parent.rsplit_once("/batches/") {
        Some(parts) if parent.matches('/').count() > 3 => parts,
        _ => return request::job_name("parent", parent).map(|name| (name, None)),
    };
    let name = request::job_name("parent", job)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| plain && *number > 0);
    let why = "must have the form partitions/{partition}/jobs/{job} or partitions/{partition}/jobs/{job}/batches/{number}";
    let number: u32 = number.ok_or_else(|| Error::field("parent", why))?;
    Ok((name, Some(number)))
}

/// The name of a batch.
pub(crate) fn batch_name(job: &JobName, number: u32) -> String {
    format!("{job}/batches/{number}")
}

/// A batch of a job.
fn batch(job: &JobName, view: &BatchView) -> v1::Batch {
    v1::Batch {
        name: batch_name(job, view.number),
        parent_batch: view
            .parent
            .map(|number| batch_name(job, number))
            .unwrap_or_default(),
        depth: narrow(view.depth),
        state: batch_state(view).into(),
        title: title(&view.definition),
        items_known: int(view.known),
        items_done: int(view.done),
        items_failed: int(view.failed),
        items_discarded: int(view.discarded),
        batch_count: int(view.batches),
        total_final: view.total_final,
        split_failures: int(view.split_failures),
    }
}

fn batch_state(view: &BatchView) -> v1::BatchState {
    let spoilt = view.failed + view.discarded + view.split_failures > 0;
    match view.open {
        _ if view.finished => v1::BatchState::Done,
        1.. if view.ended => v1::BatchState::Incomplete,
        1.. if view.waiting => v1::BatchState::Waiting,
        1.. => v1::BatchState::Active,
        0 if spoilt => v1::BatchState::Incomplete,
        0 => v1::BatchState::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_of_batches() {
        let job: JobName = "partitions/p/jobs/j".parse().unwrap();
        assert_eq!(batch_parent("partitions/p/jobs/j"), Ok((job.clone(), None)));
        assert_eq!(
            batch_parent("partitions/p/jobs/j/batches/7"),
            Ok((job, Some(7)))
        );
        let odd = "partitions/batches/jobs/batches";
        let job: JobName = odd.parse().unwrap();
        assert_eq!(batch_parent(odd), Ok((job.clone(), None)));
        let batch = format!("{odd}/batches/7");
        assert_eq!(batch_parent(&batch), Ok((job, Some(7))));
        for bad in ["0", "", "-1", "+1", "x", "4294967296", "1/2"] {
            let parent = format!("partitions/p/jobs/j/batches/{bad}");
            assert!(batch_parent(&parent).is_err(), "{bad}");
        }
    }

    #[test]
    fn states_of_batches() {
        let view = |open, failed, waiting| BatchView {
            number: 2,
            parent: Some(1),
            depth: 1,
            finished: false,
            definition: Vec::new(),
            known: 0,
            done: 0,
            failed,
            discarded: 0,
            batches: 0,
            total_final: true,
            split_failures: 0,
            waiting,
            open,
            ended: false,
        };
        assert_eq!(batch_state(&view(1, 0, true)), v1::BatchState::Waiting);
        assert_eq!(batch_state(&view(3, 1, false)), v1::BatchState::Active);
        assert_eq!(batch_state(&view(0, 1, false)), v1::BatchState::Incomplete);
        assert_eq!(batch_state(&view(0, 0, false)), v1::BatchState::Done);
        let cancelled = BatchView {
            ended: true,
            ..view(3, 0, true)
        };
        assert_eq!(batch_state(&cancelled), v1::BatchState::Incomplete);
        let kept = BatchView {
            finished: true,
            ..view(0, 0, false)
        };
        assert_eq!(batch_state(&kept), v1::BatchState::Done);
    }
}
