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
        let job = violations.take(request::job_name("parent", &request.parent));
        let above = violations.take(parent_batch(&request.parent_batch));
        if let (Some(job), Some(Some((of, _)))) = (&job, &above) {
            violations.check(of == job, "parent_batch", || {
                format!("must be a batch of {job}, as in {job}/batches/2")
            });
        }
        let size = violations.take(request::page_size(request.page_size));
        let (job, above, size) = violations.values((job, above, size))?;
        let parent = above.map(|(_, number)| number);
        let query = Query::new("batches")
            .with(&request.parent)
            .with(&request.parent_batch);
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

/// A batch by its name: the job, and the batch's number.
pub(crate) fn batch_in(field: &str, name: &str) -> Result<(JobName, u32), Error> {
    let wrong = || {
        let why = "must have the form partitions/{partition}/jobs/{job}/batches/{number}";
        Error::field(field, why)
    };
    // The partition and the job, too, may be called `batches`.
    let parts = name.rsplit_once("/batches/");
    let (job, number) = parts
        .filter(|_| name.matches('/').count() > 3)
        .ok_or_else(wrong)?;
    let job = request::job_name(field, job)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| plain && *number > 0);
    Ok((job, number.ok_or_else(wrong)?))
}

/// The batch whose sub-batches are asked for; none for the root.
fn parent_batch(name: &str) -> Result<Option<(JobName, u32)>, Error> {
    match name {
        "" => Ok(None),
        name => batch_in("parent_batch", name).map(Some),
    }
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
        split_failure_count: int(view.split_failures),
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
    fn names_of_batches() {
        let job: JobName = "partitions/p/jobs/j".parse().unwrap();
        assert_eq!(batch_in("f", "partitions/p/jobs/j/batches/7"), Ok((job, 7)));
        let odd = "partitions/batches/jobs/batches";
        let job: JobName = odd.parse().unwrap();
        assert!(batch_in("f", odd).is_err());
        let batch = format!("{odd}/batches/7");
        assert_eq!(batch_in("f", &batch), Ok((job, 7)));
        for bad in ["0", "", "-1", "+1", "x", "4294967296", "1/2"] {
            let name = format!("partitions/p/jobs/j/batches/{bad}");
            assert!(batch_in("f", &name).is_err(), "{bad}");
        }
        assert_eq!(parent_batch(""), Ok(None));
        for bad in ["2", "partitions/p/jobs/j"] {
            let Err(Error::Invalid(list)) = parent_batch(bad) else {
                panic!("{bad} was taken")
            };
            assert_eq!(list[0].field, "parent_batch");
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
