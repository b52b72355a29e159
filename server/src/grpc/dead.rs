//! Dead letters, and which failures are meant.

use headway::v1;
use headway_domain::{Error, JobId, JobName, PipeName, event::Caller, limits};
use headway_store::{DeadLetterFilter, FailureFilter, Retry};

use super::{
    api::{JobApi, fitting, now, whole},
    convert_out,
    page_token::Query,
    request, request_explore,
    status::ApiError,
    violations::Violations,
};

/// Codes and batches of a filter at most.
const NAMED: usize = 100;
/// Items of a filter at most.
const ITEMS: usize = 1000;

impl JobApi {
    /// RetryJob.
    pub(super) async fn retry(
        &self,
        request: v1::RetryJobRequest,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("name", &request.name));
        let filter = filter(request.filter, name.as_ref(), &mut violations);
        violations.finish()?;
        let Some(name) = name else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let retry = Retry {
            filter,
            dependents: request.retry_dependents,
            rehearse: request.validate_only,
        };
        let rehearse = retry.rehearse;
        let view = self
            .change(|relay, reply| async move {
                match relay.store().retry_job(&name, &retry, &caller).await {
                    Ok(retried) => {
                        drop(reply.send(Ok(retried.view)));
                        relay.publish(retried.committed).await;
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            })
            .await?;
        match rehearse {
            true => Ok(convert_out::brief(&view)),
            false => whole(view),
        }
    }

    /// ListDeadLetters.
    pub(super) async fn dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersResponse, ApiError> {
        let mut violations = Violations::default();
        let size = violations.take(request::page_size(request.page_size));
        let filter = dead_filter(
            &request.parent,
            &request.pipe,
            &request.job,
            &mut violations,
        );
        violations.finish()?;
        let (Some(size), Some(filter)) = (size, filter) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let query = Query::new("dead letters")
            .with(&request.parent)
            .with(&request.pipe)
            .with(&request.job);
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
                failure: Some(convert_out::failure(&letter.failure)),
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

    /// DropDeadLetters.
    pub(super) async fn drop_dead(
        &self,
        request: v1::DropDeadLettersRequest,
        caller: Caller,
    ) -> Result<v1::DropDeadLettersResponse, ApiError> {
        let mut violations = Violations::default();
        let filter = dead_filter(
            &request.parent,
            &request.pipe,
            &request.job,
            &mut violations,
        );
        let narrow = !request.pipe.is_empty() || !request.job.is_empty();
        violations.check(narrow != request.all, "all", || {
            "must be set, without pipe and job, for all dead letters of the partition".to_owned()
        });
        violations.finish()?;
        let Some(filter) = filter else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let (dropped, more) = self
            .store()
            .pipes()
            .drop_dead_letters(&filter, &caller)
            .await?;
        Ok(v1::DropDeadLettersResponse {
            dropped: convert_out::narrow(dropped),
            more,
        })
    }
}

fn dead_filter(
    parent: &str,
    pipe: &str,
    job: &str,
    violations: &mut Violations,
) -> Option<DeadLetterFilter> {
    let partition = violations.take(request::partition(parent));
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let pipe = said(pipe).map(|pipe| PipeName::new(pipe).map_err(|error| error.renamed("pipe")));
    let job = said(job).map(|job| JobId::new(job).map_err(|error| error.renamed("job")));
    let pipe = pipe.map(|pipe| violations.take(pipe));
    let job = job.map(|job| violations.take(job));
    Some(DeadLetterFilter {
        partition: partition?,
        pipe: pipe.flatten(),
        job: job.flatten(),
    })
}

/// Which failures are meant, of a job if its name is one.
pub(super) fn filter(
    wire: Option<v1::FailureFilter>,
    job: Option<&JobName>,
    violations: &mut Violations,
) -> FailureFilter {
    let wire = wire.unwrap_or_default();
    let few = |count: usize, most: usize, field: &str, violations: &mut Violations| {
        violations.check(count <= most, field, || {
            format!("must be at most {most}, and has {count}")
        });
    };
    few(wire.codes.len(), NAMED, "filter.codes", violations);
    few(wire.batches.len(), NAMED, "filter.batches", violations);
    few(wire.items.len(), ITEMS, "filter.items", violations);
    let mut filter = FailureFilter::default();
    for code in wire.codes.into_iter().take(NAMED) {
        let fits = (1..=limits::MAX_ID_BYTES).contains(&code.len()) && !code.contains('\0');
        violations.check(fits, "filter.codes", || {
            format!(
                "must be 1 to {} bytes each, without U+0000",
                limits::MAX_ID_BYTES
            )
        });
        filter.codes.push(code);
    }
    for batch in wire.batches.iter().take(NAMED) {
        let parent = violations.take(
            request_explore::batch_parent(batch).map_err(|error| error.renamed("filter.batches")),
        );
        let Some(parent) = parent else { continue };
        let own = job.is_none_or(|job| *job == parent.0);
        match parent.1.filter(|_| own) {
            Some(number) => filter.batches.push(number),
            None => violations.push(
                "filter.batches",
                "must be batches of the job, as in partitions/p/jobs/j/batches/2",
            ),
        }
    }
    for item in wire.items.iter().take(ITEMS) {
        match self::item(item) {
            Some(item) => filter.items.push(item),
            None => violations.push(
                "filter.items",
                "must be items as failures name them, as in 3-17, or 3 for a batch's page that could not be split",
            ),
        }
    }
    filter
}

/// `{page}-{index}`, or `{page}`.
fn item(text: &str) -> Option<(u32, Option<u32>)> {
    match text.split_once('-') {
        Some((page, index)) => Some((page.parse().ok()?, Some(index.parse().ok()?))),
        None => Some((text.parse().ok()?, None)),
    }
}
