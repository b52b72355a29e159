//! JobTypeService, and the work that job types make.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use headway::v1::{self, job_type_service_server::JobTypeService, job_type_use::ParametersForm};
use headway_domain::{Error, JobId, bulk::RESERVED, event::Caller, limits, spec::TypeUse};
use headway_job_types::{Definition, Evaluator, Fault, FileTypes, Input, spec as wire_spec};
use headway_store::{JobTypeView, StoreError};
use tonic::Request;

use super::{
    api::{Answer, Api, answer, fitting, now, received},
    request,
    spec::json,
    status::ApiError,
    tokens::Query,
    values::timestamp,
    violations::Violations,
};

/// What stands before the id of a job type.
const COLLECTION: &str = "jobTypes/";
/// Stored types looked at in one round.
const LOOKED_AT: u32 = 500;
/// The message that programs make.
const SPEC: &str = "headway.v1.JobSpec";
/// The field of a request that names a type.
const FIELD: &str = "spec.job_type";
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

/// The job types of a server: those of its folder, and how any are evaluated.
#[derive(Debug, Clone)]
pub(crate) struct JobTypes {
    /// Those of its folder.
    pub(crate) files: Arc<FileTypes>,
    /// The variables of the environment that types made by the API may read.
    pub(crate) variables: Arc<BTreeSet<String>>,
    /// Runs their programs.
    pub(crate) evaluator: Evaluator,
}

/// A job type that can be used.
struct Usable {
    id: JobId,
    version: String,
    definition: Definition,
    configuration: BTreeMap<String, String>,
}

impl JobTypes {
    /// A variable of the environment, if types made by the API may read it.
    fn environment(&self, name: &str) -> Option<String> {
        let named = self.variables.contains(name);
        named.then(|| std::env::var(name).ok()).flatten()
    }

    fn stored(&self, view: JobTypeView) -> v1::JobType {
        let usable = Definition::parse(&view.definition).and_then(|definition| {
            let configured = definition.configured(view.id.as_str(), |name| self.environment(name));
            configured.map(|_| definition)
        });
        let (description, problem) = match usable {
            Ok(definition) => (definition.description, String::new()),
            Err(why) => (String::new(), why.0),
        };
        v1::JobType {
            name: format!("{COLLECTION}{}", view.id),
            definition: view.definition,
            description,
            version: view.version.to_string(),
            from_file: false,
            problem,
            author: view.author,
            update_time: Some(timestamp(view.updated)),
            etag: view.version.to_string(),
        }
    }
}

impl Api {
    /// Puts the work that a job type makes into a spec that names one.
    pub(crate) async fn make_work(
        &self,
        partition: &str,
        wanted: &mut Option<v1::JobSpec>,
    ) -> Result<Option<TypeUse>, ApiError> {
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let Some(used) = wanted.job_type.take() else {
            return Ok(None);
        };
        if wanted.work.is_some() {
            let why = "must not be set beside task or batch, which it makes";
            return Err(Error::field(FIELD, why).into());
        }
        let partition = request::partition(partition)?;
        let id = named("spec.job_type.type", &used.r#type)?;
        let parameters = read_parameters(used.parameters_form)?;
        let usable = self.usable(id).await?;
        let input = Input {
            parameters: parameters.clone(),
            configuration: usable.configuration,
            constants: usable.definition.constants.clone(),
            partition: partition.to_string(),
        };
        let types = &self.job_types;
        let made = types.evaluator.build(&usable.definition, input).await;
        wanted.work = Some(work(made.map_err(|fault| refused(&usable.id, fault))?)?);
        Ok(Some(TypeUse {
            name: usable.id.to_string(),
            version: usable.version,
            parameters,
        }))
    }

    async fn usable(&self, id: JobId) -> Result<Usable, ApiError> {
        let unusable = |why: String| Error::JobTypeUnusable {
            name: id.to_string(),
            why,
        };
        let types = &self.job_types;
        if let Some(file) = types.files.0.get(id.as_str()) {
            let usable = file.usable.clone().map_err(|why| unusable(why.0))?;
            return Ok(Usable {
                version: file.version.clone(),
                definition: usable.0,
                configuration: usable.1,
                id,
            });
        }
        let stored = self.store().job_types().get(&id).await?;
        let definition = Definition::parse(&stored.definition).map_err(|why| unusable(why.0))?;
        let configuration = definition
            .configured(id.as_str(), |name| types.environment(name))
            .map_err(|why| unusable(why.0))?;
        Ok(Usable {
            version: stored.version.to_string(),
            definition,
            configuration,
            id,
        })
    }

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
        let (id,) = violations.values((id,))?;
        let parsed = self.check_definition(&wanted.definition).await?;
        if self.job_types.files.0.contains_key(id.as_str()) {
            return Err(Error::JobTypeFixed(id.to_string()).into());
        }
        self.check_variables("job_type.definition", &id, &parsed)
            .await?;
        let etag = request::etag(&wanted.etag);
        let view = self
            .store()
            .job_types()
            .update(&id, &wanted.definition, etag, &caller);
        Ok(self.job_types.stored(view.await?))
    }

    pub(crate) async fn get_job_type(
        &self,
        request: v1::GetJobTypeRequest,
    ) -> Result<v1::JobType, ApiError> {
        let id = named("name", &request.name)?;
        match self.file_type(id.as_str()) {
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
            types.extend(self.file_type(id).map(|found| (id.clone(), found)));
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
        let id = named("name", &request.name)?;
        if self.job_types.files.0.contains_key(id.as_str()) {
            return Err(Error::JobTypeFixed(id.to_string()).into());
        }
        Ok(self
            .store()
            .job_types()
            .delete(&id, request::etag(&request.etag), &caller)
            .await?)
    }

    fn file_type(&self, id: &str) -> Option<v1::JobType> {
        let file = self.job_types.files.0.get(id)?;
        let (description, problem) = match &file.usable {
            Ok((definition, _)) => (definition.description.clone(), String::new()),
            Err(why) => (String::new(), why.0.clone()),
        };
        Some(v1::JobType {
            name: format!("{COLLECTION}{id}"),
            definition: file.text.clone(),
            description,
            version: file.version.clone(),
            from_file: true,
            problem,
            ..v1::JobType::default()
        })
    }
}

fn read_parameters(wire: Option<ParametersForm>) -> Result<serde_json::Value, Error> {
    let (field, read) = match wire {
        None => return Ok(serde_json::Value::Object(serde_json::Map::new())),
        Some(ParametersForm::Parameters(object)) => ("parameters", json::from_struct(object)),
        Some(ParametersForm::ParametersJsonText(text)) => (
            "parameters_json_text",
            json::object_from_text(&text, limits::MAX_TEMPLATE_BYTES),
        ),
    };
    read.map_err(|why| Error::field(format!("spec.job_type.{field}"), why))
}

/// The work of what a program made.
fn work(made: serde_json::Value) -> Result<v1::job_spec::Work, Error> {
    let wrong = |why: String| Error::field(FIELD, format!("made work that is refused: {why}"));
    let serde_json::Value::Object(fields) = made else {
        return Err(wrong("it is no object".to_owned()));
    };
    if let Some(other) = fields
        .keys()
        .find(|key| !matches!(key.as_str(), "task" | "batch"))
    {
        return Err(wrong(format!(
            "it has {other:?}, and may have task or batch alone"
        )));
    }
    let made: v1::JobSpec = wire_spec::message(SPEC, &fields).map_err(wrong)?;
    made.work
        .ok_or_else(|| wrong("it has neither task nor batch".to_owned()))
}

fn refused(id: &JobId, fault: Fault) -> ApiError {
    match fault {
        Fault::Parameters(faults) => {
            let mut violations = Violations::default();
            for (pointer, why) in faults {
                violations.push(format!("spec.job_type.parameters{pointer}"), why);
            }
            match violations.finish() {
                Err(error) => error.into(),
                Ok(()) => unavailable(),
            }
        }
        Fault::Unavailable => unavailable(),
        Fault::Schema(_) | Fault::Program(_) => Error::JobTypeUnusable {
            name: id.to_string(),
            why: fault.to_string(),
        }
        .into(),
        Fault::Output(_) | Fault::TooMuch => Error::field(
            FIELD,
            format!("cannot make work of these parameters: {fault}"),
        )
        .into(),
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

/// The parameters of a job's type, as the wire has them.
pub(crate) fn wire(used: &TypeUse, whole: bool) -> v1::JobTypeUse {
    let parameters_form = match &used.parameters {
        parameters @ serde_json::Value::Object(fields) if whole => {
            Some(match json::fits_value(parameters) {
                true => ParametersForm::Parameters(json::to_struct(fields.clone())),
                false => ParametersForm::ParametersJsonText(parameters.to_string()),
            })
        }
        _ => None,
    };
    v1::JobTypeUse {
        r#type: format!("{COLLECTION}{}", used.name),
        parameters_form,
        version: used.version.clone(),
    }
}
