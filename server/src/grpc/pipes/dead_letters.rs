//! ListDeadLetters and DropDeadLetters.

use headway::v1;
use headway_domain::{Error, JobId, JobName, events::Caller};
use headway_store::DeadLetterFilter;

use crate::grpc::{
    api::{Api, fitting, now},
    jobs::view::failure,
    request,
    status::ApiError,
    tokens::Query,
    values::narrow,
    violations::Violations,
};

impl Api {
    pub(crate) async fn list_dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersResponse, ApiError> {
        let mut violations = Violations::default();
        let size = violations.take(request::page_size(request.page_size));
        let filter = violations.take(dead_filter(&request.parent));
        let (size, filter) = violations.values((size, filter))?;
        let query = Query::new("dead letters").with(&request.parent);
        let after = query.keys(&request.page_token, now())?;
        let after = after.map(|[key, seq]| (key, seq));
        let found = self
            .store()
            .pipes()
            .list_dead_letters(&filter, after, size + 1)
            .await?;
        let letters = found.iter().take(size as usize).map(|letter| {
            let partition = filter.partition.clone();
            let job = letter.job.clone();
            v1::DeadLetter {
                job: JobName { partition, job }.to_string(),
                pipe: letter.pipe.clone(),
                failure: Some(failure(&letter.failure)),
            }
        });
        let letters: Vec<_> = letters.collect();
        let fit = fitting(&letters);
        let last = found.get(fit.wrapping_sub(1)).filter(|_| fit < found.len());
        let next = last.map(|last| query.token([last.key, last.failure.seq], now()));
        Ok(v1::ListDeadLettersResponse {
            dead_letters: letters.into_iter().take(fit).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(crate) async fn drop_dead_letters(
        &self,
        request: v1::DropDeadLettersRequest,
        caller: Caller,
    ) -> Result<v1::DropDeadLettersResponse, ApiError> {
        let mut violations = Violations::default();
        let filter = violations.take(dead_filter(&request.parent));
        if let Some(filter) = &filter {
            let narrow = filter.pipe.is_some() || filter.job.is_some();
            violations.check(narrow != request.all, "all", || {
                "must be set with a partition as parent, and not with a pipe or a job".to_owned()
            });
        }
        let (filter,) = violations.values((filter,))?;
        let pipes = self.store().pipes().rehearsing(request.validate_only);
        let (dropped, more) = pipes.drop_dead_letters(&filter, &caller).await?;
        Ok(v1::DropDeadLettersResponse {
            dropped_count: narrow(dropped),
            more,
        })
    }
}

/// `partitions/{partition}`, and `/pipes/{pipe}` or `/jobs/{job}` below it.
fn dead_filter(parent: &str) -> Result<DeadLetterFilter, Error> {
    let wrong = || {
        Error::field(
            "parent",
            "must be partitions/{partition}, partitions/{partition}/pipes/{pipe} or \
             partitions/{partition}/jobs/{job}",
        )
    };
    let mut parts = parent.split('/');
    let (Some("partitions"), Some(partition)) = (parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let partition = request::partition(&format!("partitions/{partition}"))?;
    let (pipe, job) = match (parts.next(), parts.next(), parts.next()) {
        (None, _, _) => (None, None),
        (Some("pipes"), Some(pipe), None) => (Some(request::stored_pipe("parent", pipe)?), None),
        (Some("jobs"), Some(job), None) => (None, Some(job.to_owned())),
        _ => return Err(wrong()),
    };
    let job = job.map(JobId::new).transpose();
    Ok(DeadLetterFilter {
        partition,
        pipe,
        job: job.map_err(|error| error.renamed("parent"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_of_dead_letters() {
        let of = |parent: &str| {
            let filter = dead_filter(parent).ok()?;
            let pipe = filter.pipe.map(|pipe| pipe.to_string());
            let job = filter.job.map(|job| job.to_string());
            Some((filter.partition.to_string(), pipe, job))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("partitions/p"), Some(("p".into(), None, None)));
        assert_eq!(
            of("partitions/pipes/pipes/jobs"),
            Some(("pipes".into(), text("jobs"), None))
        );
        assert_eq!(
            of("partitions/p/jobs/j"),
            Some(("p".into(), None, text("j")))
        );
        // An earlier version took pipes of dots only.
        assert_eq!(
            of("partitions/p/pipes/.."),
            Some(("p".into(), text(".."), None))
        );
        for bad in [
            "",
            "p",
            "partitions",
            "partitions/",
            "partitions/p/",
            "partitions/p/pipes",
            "partitions/p/pipes/",
            "partitions/p/pipes/a b",
            "partitions/p/jobs/j/batches/1",
            "partitions/p/schedules/s",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
