//! The job types of a server, and a job type as the wire has it.

use std::{collections::BTreeSet, sync::Arc};

use headway::v1;
use headway_job_types::{Definition, Evaluator, FileTypes};
use headway_store::JobTypeView;

use super::COLLECTION;
use crate::grpc::values::timestamp;

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

impl JobTypes {
    /// A variable of the environment, if types made by the API may read it.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        let named = self.variables.contains(name);
        named.then(|| std::env::var(name).ok()).flatten()
    }

    pub(super) fn stored(&self, view: JobTypeView) -> v1::JobType {
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
            updated_by: view.author,
            update_time: Some(timestamp(view.updated)),
            etag: view.etag,
        }
    }

    pub(super) fn file_type(&self, id: &str) -> Option<v1::JobType> {
        let file = self.files.0.get(id)?;
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
