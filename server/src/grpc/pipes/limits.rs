//! GetPipeLimits, UpdatePipeLimits and ListPipeLimits.

use headway::v1;
use headway_domain::{
    Error, PipeName, events::Caller, jobs::bulk::RESERVED, limits, pipes::PipeLimits,
};
use headway_store::PipeLimitView;

use crate::grpc::{
    api::{Api, now},
    request,
    status::{ApiError, overtaken},
    tokens::Query,
    values::narrow,
    violations::Violations,
};

/// What of limits can be changed.
const PATHS: [&str; 2] = ["max_in_flight", "max_per_second"];

impl Api {
    pub(crate) async fn get_pipe_limits(
        &self,
        request: v1::GetPipeLimitsRequest,
    ) -> Result<v1::PipeLimits, ApiError> {
        let pipe = pipe_of("name", &request.name)?;
        let limits = self.store().pipes().limits(&pipe).await?;
        Ok(wire(&PipeLimitView { pipe, limits }))
    }

    pub(crate) async fn update_pipe_limits(
        &self,
        request: v1::UpdatePipeLimitsRequest,
        caller: Caller,
    ) -> Result<v1::PipeLimits, ApiError> {
        let wanted = request.pipe_limits.unwrap_or_default();
        let mut violations = Violations::default();
        let pipe = violations.take(pipe_of("pipe_limits.name", &wanted.name));
        let new = read(&wanted, &mut violations);
        let mask = request::mask(request.update_mask, &PATHS, &mut violations);
        let etag = violations.take(request::etag("pipe_limits.etag", &wanted.etag));
        let (pipe, etag) = violations.values((pipe, etag))?;
        let named = |path: &str| mask.iter().any(|named| named == path);
        let pipes = self.store().pipes().rehearsing(request.validate_only);
        loop {
            let limits = pipes.limits(&pipe).await?;
            let known = PipeLimitView {
                pipe: pipe.clone(),
                limits,
            };
            let limits = PipeLimits {
                in_flight: match named("max_in_flight") {
                    true => new.in_flight,
                    false => known.limits.in_flight,
                },
                per_second: match named("max_per_second") {
                    true => new.per_second,
                    false => known.limits.per_second,
                },
            };
            let present = known.etag();
            let present = Some(etag.unwrap_or(&present));
            let set = pipes.set_limits(&pipe, &limits, present, &caller);
            match set.await {
                Err(error) if etag.is_none() && overtaken(&error) => {}
                set => {
                    set?;
                    return Ok(wire(&PipeLimitView { pipe, limits }));
                }
            }
        }
    }

    pub(crate) async fn list_pipe_limits(
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
            pipe_limits: limits.iter().map(wire).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

/// Limits, where 0 is none.
fn read(wanted: &v1::PipeLimits, violations: &mut Violations) -> PipeLimits {
    let in_flight = u32::try_from(wanted.max_in_flight)
        .ok()
        .filter(|most| *most <= limits::MAX_PIPE_LIMIT);
    violations.check(in_flight.is_some(), "pipe_limits.max_in_flight", || {
        format!(
            "must be 0 to {}, not {}",
            limits::MAX_PIPE_LIMIT,
            wanted.max_in_flight
        )
    });
    let per_second = wanted.max_per_second;
    let fits = (0.0..=f64::from(limits::MAX_PIPE_LIMIT)).contains(&per_second);
    violations.check(fits, "pipe_limits.max_per_second", || {
        format!("must be 0 to {}, not {per_second}", limits::MAX_PIPE_LIMIT)
    });
    PipeLimits {
        in_flight: in_flight.filter(|most| *most > 0),
        per_second: Some(per_second).filter(|most| *most > 0.0),
    }
}

/// `pipes/{pipe}/limits`.
fn pipe_of(field: &str, name: &str) -> Result<PipeName, Error> {
    let pipe = name
        .strip_prefix("pipes/")
        .and_then(|rest| rest.strip_suffix("/limits"))
        .ok_or_else(|| Error::field(field, "must be pipes/{pipe}/limits"))?;
    if pipe.starts_with(RESERVED) {
        let why = format!("must not begin with {RESERVED:?}: those are Headway's own");
        return Err(Error::field(field, why));
    }
    request::stored_pipe(field, pipe)
}

/// The limits of a pipe as the wire has them.
pub(crate) fn wire(view: &PipeLimitView) -> v1::PipeLimits {
    v1::PipeLimits {
        name: format!("pipes/{}/limits", view.pipe),
        max_in_flight: narrow(view.limits.in_flight.unwrap_or(0)),
        max_per_second: view.limits.per_second.unwrap_or(0.0),
        etag: view.etag(),
    }
}
