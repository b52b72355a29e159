//! The work that job types make of parameters.

use std::collections::BTreeMap;

use headway::v1::{self, job_type_use::ParametersForm};
use headway_domain::{Error, JobId, job_types::TypeUse, limits};
use headway_job_types::{Definition, Fault, Input, spec as wire_spec};

use super::{COLLECTION, named, unavailable};
use crate::grpc::{api::Api, request, spec::json, status::ApiError, violations::Violations};

/// The message that programs make.
const SPEC: &str = "headway.v1.JobSpec";
/// The field of a request that names a type.
const FIELD: &str = "spec.job_type";

/// A job type that can be used.
struct Usable {
    id: JobId,
    version: String,
    definition: Definition,
    configuration: BTreeMap<String, String>,
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
        let id = named("spec.job_type.job_type", &used.job_type)?;
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

/// The parameters of a job's type, as the wire has them.
pub(crate) fn wire(used: &TypeUse, whole: bool) -> v1::JobTypeUse {
    let parameters_form = match &used.parameters {
        parameters @ serde_json::Value::Object(_) if whole => {
            Some(ParametersForm::ParametersJsonText(parameters.to_string()))
        }
        _ => None,
    };
    v1::JobTypeUse {
        job_type: format!("{COLLECTION}{}", used.name),
        parameters_form,
        version: used.version.clone(),
    }
}
