//! JobTypeService.

mod view;
mod work;

use std::collections::BTreeMap;

use headway::v1::{self, job_type_service_server::JobTypeService};
use headway_domain::{Error, JobId, events::Caller, jobs::bulk::RESERVED};
use headway_job_types::{Definition, Fault};
use headway_store::StoreError;
use tonic::Request;

pub(crate) use self::{view::JobTypes, work::wire};
use super::{
    api::{Answer, Api, answer, fitting, now, received},
    request,
    status::ApiError,
    tokens::Query,
    violations::Violations,
};

/// What stands before the id of a job type.
const COLLECTION: &str = "jobTypes/";
/// Stored types looked at in one round.
const LOOKED_AT: u32 = 500;
/// What of a job type can be changed.
const PATHS: [&str; 1] = ["definition"];

#[tonic::async_trait]
impl JobTypeService for Api {
    async fn create_job_type(
        &self,
        request: Request<v1::CreateJobTypeRequest>,
    ) -> Answer<v1::JobType> {
        let (request, caller) = received(request);
        answer(self.create_job_type(request, caller).await)
    }

    async fn update_job_type(
        &self,
        request: Request<v1::UpdateJobTypeRequest>,
    ) -> Answer<v1::JobType> {
        let (request, caller) = received(request);
        answer(self.update_job_type(request, caller).await)
    }

    async fn get_job_type(&self, request: Request<v1::GetJobTypeRequest>) -> Answer<v1::JobType> {
        answer(self.get_job_type(request.into_inner()).await)
    }

    async fn list_job_types(
        &self,
        request: Request<v1::ListJobTypesRequest>,
    ) -> Answer<v1::ListJobTypesResponse> {
        answer(self.list_job_types(request.into_inner()).await)
    }

    async fn delete_job_type(&self, request: Request<v1::DeleteJobTypeRequest>) -> Answer<()> {
        let (request, caller) = received(request);
        answer(self.delete_job_type(request, caller).await)
    }
}

impl Api {
    /// Looks at all of a definition.
    async fn check_definition(&self, definition: &str) -> Result<Definition, ApiError> {
        let wrong = |why: String| Error::field("job_type.definition", format!("is refused: {why}"));
        let parsed = Definition::parse(definition).map_err(|why| wrong(why.0))?;
        match self.job_types.evaluator.check(&parsed).await {
            Ok(()) => Ok(parsed),
            Err(Fault::Unavailable) => Err(unavailable()),
            Err(fault) => Err(wrong(fault.to_string()).into()),
        }
    }

    /// Refuses a type whose name, or properties, become variables that another type reads.
    async fn check_variables(
        &self,
        field: &str,
        id: &JobId,
        definition: &Definition,
    ) -> Result<(), ApiError> {
        let variables = definition.variables(id.as_str());
        let shared = |other: &str, variable: &str| {
            let why = format!(
                "becomes the same variable of the environment ({variable}) as job type {other:?}; choose another name"
            );
            Err(Error::field(field, why).into())
        };
        if let Some((other, variable)) = self.job_types.files.reader(id.as_str(), &variables) {
            return shared(other, &variable);
        }
        let mut above = String::new();
        loop {
            let page = self.store().job_types().list(&above, LOOKED_AT).await?;
            for other in page.types.iter().filter(|other| other.id != *id) {
                let Ok(theirs) = Definition::parse(&other.definition) else {
                    continue;
                };
                let theirs = theirs.variables(other.id.as_str());
                if let Some(variable) = theirs.intersection(&variables).last() {
                    return shared(other.id.as_str(), variable);
                }
            }
            match page.next {
                Some(next) => above = next,
                None => return Ok(()),
            }
        }
    }

    pub(crate) async fn create_job_type(
        &self,
        request: v1::CreateJobTypeRequest,
        caller: Caller,
    ) -> Result<v1::JobType, ApiError> {
        let mut violations = Violations::default();
        let id = new_id("job_type_id", &request.job_type_id);
        let id = violations.take(id);
        let (id,) = violations.values((id,))?;
        let definition = request.job_type.unwrap_or_default().definition;
        let parsed = self.check_definition(&definition).await?;
        if self.job_types.files.0.contains_key(id.as_str()) {
            return Err(Error::JobTypeExists(id.to_string()).into());
        }
        self.check_variables("job_type_id", &id, &parsed).await?;
        if request.validate_only {
            return Ok(v1::JobType {
                name: format!("{COLLECTION}{id}"),
                definition,
                ..v1::JobType::default()
            });
        }
        let view = self.store().job_types().create(&id, &definition, &caller);
        Ok(self.job_types.stored(view.await?))
    }

    pub(crate) async fn update_job_type(
        &self,
        request: v1::UpdateJobTypeRequest,
        caller: Caller,
    ) -> Result<v1::JobType, ApiError> {
        let wanted = request.job_type.unwrap_or_default();
        let mut violations = Violations::default();
        let id = violations.take(named("job_type.name", &wanted.name));
        request::mask(request.update_mask, &PATHS, &mut violations);
        let etag = violations.take(request::etag("job_type.etag", &wanted.etag));
        let (id, etag) = violations.values((id, etag))?;
        let parsed = self.check_definition(&wanted.definition).await?;
        if self.job_types.files.0.contains_key(id.as_str()) {
            return Err(Error::JobTypeFixed(id.to_string()).into());
        }
        self.check_variables("job_type.definition", &id, &parsed)
            .await?;
        let types = self.store().job_types().rehearsing(request.validate_only);
        let view = types.update(&id, &wanted.definition, etag, &caller);
        Ok(self.job_types.stored(view.await?))
    }

    pub(crate) async fn get_job_type(
        &self,
        request: v1::GetJobTypeRequest,
    ) -> Result<v1::JobType, ApiError> {
        let id = named("name", &request.name)?;
        match self.job_types.file_type(id.as_str()) {
            Some(found) => Ok(found),
            None => Ok(self
                .job_types
                .stored(self.store().job_types().get(&id).await?)),
        }
    }

    pub(crate) async fn list_job_types(
        &self,
        request: v1::ListJobTypesRequest,
    ) -> Result<v1::ListJobTypesResponse, ApiError> {
        let size = request::page_size(request.page_size)?;
        let query = Query::new("job types");
        let above = query.text(&request.page_token, now())?.unwrap_or_default();
        let page = self.store().job_types().list(&above, size).await?;
        let mut types: BTreeMap<String, v1::JobType> = page
            .types
            .into_iter()
            .map(|view| (view.id.to_string(), self.job_types.stored(view)))
            .collect();
        let files = self.job_types.files.0.keys();
        // Beyond the end of this page there may be stored ones between them.
        let in_page = |id: &str| page.next.as_deref().is_none_or(|next| id <= next);
        let files = files.filter(|id| **id > above && in_page(id));
        let files = files.take(size as usize + 1);
        for id in files {
            // One of the same name that was created before the file came is hidden by it.
            types.extend(
                self.job_types
                    .file_type(id)
                    .map(|found| (id.clone(), found)),
            );
        }
        let brief = types.values().take(size as usize).map(|found| v1::JobType {
            definition: String::new(),
            ..found.clone()
        });
        let brief: Vec<_> = brief.collect();
        let fit = fitting(&brief);
        let last = match fit < types.len() {
            true => types.keys().nth(fit.wrapping_sub(1)),
            false => page.next.as_ref(),
        };
        let unreadable = page.unreadable.iter();
        Ok(v1::ListJobTypesResponse {
            job_types: brief.into_iter().take(fit).collect(),
            next_page_token: last
                .map(|last| query.text_token(last, now()))
                .unwrap_or_default(),
            unreadable: unreadable.map(|id| format!("{COLLECTION}{id}")).collect(),
        })
    }

    pub(crate) async fn delete_job_type(
        &self,
        request: v1::DeleteJobTypeRequest,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let mut violations = Violations::default();
        let id = violations.take(named("name", &request.name));
        let etag = violations.take(request::etag("etag", &request.etag));
        let (id, etag) = violations.values((id, etag))?;
        if self.job_types.files.0.contains_key(id.as_str()) {
            return Err(Error::JobTypeFixed(id.to_string()).into());
        }
        Ok(self.store().job_types().delete(&id, etag, &caller).await?)
    }
}

fn unavailable() -> ApiError {
    StoreError::Broken("job types cannot be evaluated".to_owned()).into()
}

/// `jobTypes/{type}`.
fn named(field: &str, name: &str) -> Result<JobId, Error> {
    let Some(id) = name.strip_prefix(COLLECTION) else {
        return Err(Error::field(field, "must be jobTypes/{type}"));
    };
    JobId::new(id).map_err(|error| error.renamed(field))
}

fn new_id(field: &str, id: &str) -> Result<JobId, Error> {
    if id.starts_with(RESERVED) {
        let why = format!("must not begin with {RESERVED:?}: those are Headway's own");
        return Err(Error::field(field, why));
    }
    JobId::new(id).map_err(|error| error.renamed(field))
}
