//! Job types from a folder of files, read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use crate::{Definition, Evaluator, definition::BadDefinition, definition::MOST_BYTES};

/// A job type from a file.
#[derive(Debug, Clone)]
pub struct FileType {
    /// The text of the file.
    pub text: String,
    /// A version made from the text.
    pub version: String,
    /// The definition and the values of its configuration, or why it cannot be used.
    pub usable: Result<(Definition, BTreeMap<String, String>), BadDefinition>,
}

/// The job types of a folder, by id: the names of its files without `.yaml` or `.yml`.
#[derive(Debug, Clone, Default)]
pub struct FileTypes(pub BTreeMap<String, FileType>);

impl FileTypes {
    /// Reads every file of a folder. A wrong file does not keep others from being used: it is
    /// logged, and a request for its type gets the reason.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn read(
        folder: &Path,
        evaluator: &Evaluator,
        environment: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Self> {
        let mut types = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|kind| kind.to_str());
            let name = path.file_stem().and_then(|name| name.to_str());
            let (Some("yaml" | "yml"), Some(name)) = (kind, name) else {
                continue;
            };
            let found = FileType::read(&path, name, evaluator, &environment).await;
            match &found.usable {
                Ok(_) => tracing::info!(
                    job_type = name,
                    version = found.version,
                    "loaded a job type"
                ),
                Err(why) => {
                    tracing::error!(job_type = name, file = %path.display(), %why, "cannot use a job type; its jobs are refused")
                }
            }
            types.insert(name.to_owned(), found);
        }
        let mut types = Self(types);
        types.refuse_shared_variables();
        Ok(types)
    }

    /// Another type of a file that reads one of these variables, and the variable.
    pub fn reader(&self, id: &str, variables: &BTreeSet<String>) -> Option<(&str, String)> {
        let others = self.0.iter().filter(|(other, _)| other.as_str() != id);
        let mut usable = others.filter_map(|(other, file)| {
            let (definition, _) = file.usable.as_ref().ok()?;
            Some((other.as_str(), definition.variables(other)))
        });
        usable.find_map(|(other, theirs)| {
            let shared = theirs.intersection(variables).last();
            shared.map(|variable| (other, variable.clone()))
        })
    }

    /// Refuses types whose names become the same variable: one would read the value meant for the
    /// other.
    fn refuse_shared_variables(&mut self) {
        let mut refused = Vec::new();
        for (id, file) in &self.0 {
            if let Ok((definition, _)) = &file.usable
                && let Some((other, variable)) = self.reader(id, &definition.variables(id))
            {
                let why = format!(
                    "it reads the same variables ({variable}) as job type {other}; give one of the two files another name"
                );
                tracing::error!(job_type = id, %why, "cannot use a job type; its jobs are refused");
                refused.push((id.clone(), BadDefinition(why)));
            }
        }
        for (id, why) in refused {
            if let Some(file) = self.0.get_mut(&id) {
                file.usable = Err(why);
            }
        }
    }
}

impl FileType {
    async fn read(
        path: &Path,
        name: &str,
        evaluator: &Evaluator,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Self {
        let text = match fs::metadata(path) {
            Ok(file) if file.len() > MOST_BYTES as u64 => Err(BadDefinition(format!(
                "it must be at most {MOST_BYTES} bytes"
            ))),
            _ => fs::read_to_string(path).map_err(|error| BadDefinition(error.to_string())),
        };
        let (text, wrong) = match text {
            Ok(text) => (text, None),
            Err(why) => (String::new(), Some(why)),
        };
        let usable = match wrong {
            Some(why) => Err(why),
            None => usable(&text, name, evaluator, environment).await,
        };
        Self {
            version: Definition::version_of(&text),
            text,
            usable,
        }
    }
}

/// Reads and checks a whole definition, and gets the values of its configuration.
///
/// # Errors
/// Why it cannot be used.
pub(crate) async fn usable(
    text: &str,
    name: &str,
    evaluator: &Evaluator,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<(Definition, BTreeMap<String, String>), BadDefinition> {
    let definition = Definition::parse(text)?;
    let checked = evaluator.check(&definition).await;
    checked.map_err(|fault| BadDefinition(fault.to_string()))?;
    let values = definition.configured(name, environment)?;
    Ok((definition, values))
}
