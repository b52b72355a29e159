//! ListFailures, and which failures a request selects.

use headway::v1;
use headway_domain::{Error, JobName, limits};
use headway_store::FailureFilter;
use prost::Message;

use super::{batches::batch_in, view};
use crate::grpc::{
    api::{Api, fitting, now},
    request,
    status::ApiError,
    tokens::Query,
    violations::Violations,
};

/// Codes and batches of a filter at most.
const NAMED: usize = 100;
/// Items of a filter at most.
const ITEMS: usize = 1000;

impl Api {
    pub(crate) async fn list_failures(
        &self,
        request: v1::ListFailuresRequest,
    ) -> Result<v1::ListFailuresResponse, ApiError> {
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("parent", &request.parent));
        let size = violations.take(request::page_size(request.page_size));
        // As it travels, which later versions keep.
        let wire = request.failure_filter.as_ref().map(Message::encode_to_vec);
        let filter = filter(request.failure_filter, name.as_ref(), &mut violations);
        let (name, size) = violations.values((name, size))?;
        let mut query = Query::new("failures").with(&name.to_string());
        if !filter.is_everything() {
            query = query.with_bytes(&wire.unwrap_or_default());
        }
        let above = match query.keys(&request.page_token, now())? {
            Some([run, seq]) => Some((u32::try_from(run).map_err(|_| Error::PageToken)?, seq)),
            None => None,
        };
        let page = self
            .store()
            .list_failures(&name, &filter, above, size)
            .await?;
        let failures: Vec<_> = page.failures.iter().map(view::failure).collect();
        let fit = fitting(&failures);
        let next = match page.failures.get(fit.wrapping_sub(1)) {
            Some(last) if fit < failures.len() => Some(last.seq),
            Some(_) | None => page.next,
        };
        let failures = failures.into_iter().take(fit).collect();
        let next_page_token = next.map(|seq| query.token([page.run.into(), seq], now()));
        Ok(v1::ListFailuresResponse {
            failures,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }
}

/// Which failures are meant, of a job if its name is one.
pub(crate) fn filter(
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
    few(wire.codes.len(), NAMED, "failure_filter.codes", violations);
    few(
        wire.batches.len(),
        NAMED,
        "failure_filter.batches",
        violations,
    );
    few(wire.items.len(), ITEMS, "failure_filter.items", violations);
    let mut filter = FailureFilter::default();
    for code in wire.codes.into_iter().take(NAMED) {
        let fits = (1..=limits::MAX_ID_BYTES).contains(&code.len()) && !code.contains('\0');
        violations.check(fits, "failure_filter.codes", || {
            format!(
                "must be 1 to {} bytes each, without U+0000",
                limits::MAX_ID_BYTES
            )
        });
        filter.codes.push(code);
    }
    for batch in wire.batches.iter().take(NAMED) {
        let named = violations.take(batch_in("failure_filter.batches", batch));
        let Some((of, number)) = named else { continue };
        match job.is_none_or(|job| *job == of) {
            true => filter.batches.push(number),
            false => violations.push(
                "failure_filter.batches",
                "must be batches of the job, as in partitions/p/jobs/j/batches/2",
            ),
        }
    }
    for item in wire.items.iter().take(ITEMS) {
        match self::item(item) {
            Some(item) => filter.items.push(item),
            None => violations.push(
                "failure_filter.items",
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
