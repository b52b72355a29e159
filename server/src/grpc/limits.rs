//! What pipes take of all partitions together.

use headway::v1;
use headway_domain::{Error, PipeName, bulk::RESERVED, event::Caller, limits, share::PipeLimits};
use headway_store::PipeLimitView;

use super::{
    api::{JobApi, now},
    convert_explore::limits_out,
    page_token::Query,
    request,
    status::ApiError,
    violations::Violations,
};

impl JobApi {
    /// GetPipeLimits.
    pub(super) async fn limits_of(&self, pipe: &str) -> Result<v1::PipeLimits, ApiError> {
        let pipe = named("pipe", pipe)?;
        let limits = self.store().pipes().limits(&pipe).await?;
        Ok(limits_out(&PipeLimitView { pipe, limits }))
    }

    /// SetPipeLimits.
    pub(super) async fn limit(
        &self,
        wire: Option<v1::PipeLimits>,
        caller: Caller,
    ) -> Result<v1::PipeLimits, ApiError> {
        let wire = wire.unwrap_or_default();
        let mut violations = Violations::default();
        let pipe = violations.take(named("limits.pipe", &wire.pipe));
        let in_flight = u32::try_from(wire.max_in_flight)
            .ok()
            .filter(|most| *most <= limits::MAX_PIPE_LIMIT);
        violations.check(in_flight.is_some(), "limits.max_in_flight", || {
            format!(
                "must be 0 to {}, not {}",
                limits::MAX_PIPE_LIMIT,
                wire.max_in_flight
            )
        });
        let per_second = wire.max_per_second;
        let fits = (0.0..=f64::from(limits::MAX_PIPE_LIMIT)).contains(&per_second);
        violations.check(fits, "limits.max_per_second", || {
            format!("must be 0 to {}, not {per_second}", limits::MAX_PIPE_LIMIT)
        });
        violations.finish()?;
        let Some(pipe) = pipe else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let limits = PipeLimits {
            in_flight: in_flight.filter(|most| *most > 0),
            per_second: Some(per_second).filter(|most| *most > 0.0),
        };
        let set = self.store().pipes().set_limits(&pipe, &limits, &caller);
        set.await?;
        Ok(limits_out(&PipeLimitView { pipe, limits }))
    }

    /// ListPipeLimits.
    pub(super) async fn all_limits(
        &self,
        request: v1::ListPipeLimitsRequest,
    ) -> Result<v1::ListPipeLimitsResponse, ApiError> {
        let size = request::page_size(request.page_size)?;
        let query = Query::new("pipe limits");
        let above = query.text(&request.page_token, now())?.unwrap_or_default();
        let mut limits = self.store().pipes().list_limits(&above, size + 1).await?;
        let more = limits.len() > size as usize;
        limits.truncate(size as usize);
        let last = limits.last().filter(|_| more);
        let next = last.map(|view| query.text_token(view.pipe.as_str(), now()));
        Ok(v1::ListPipeLimitsResponse {
            limits: limits.iter().map(limits_out).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

/// `pipes/{pipe}`.
fn named(field: &str, name: &str) -> Result<PipeName, Error> {
    let Some(pipe) = name.strip_prefix("pipes/") else {
        return Err(Error::field(field, "must be pipes/{pipe}"));
    };
    if pipe.starts_with(RESERVED) {
        let why = format!("must not begin with {RESERVED:?}: those are Headway's own");
        return Err(Error::field(field, why));
    }
    PipeName::new(pipe).map_err(|error| error.renamed(field))
}
