//! The definition of a job type.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::yaml;

/// The largest definition, in bytes.
pub(crate) const MOST_BYTES: usize = 256 * 1024;
/// Hexadecimal digits of a version made from the text.
const DIGITS: usize = 12;

/// The definition of a job type.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
    /// Values that the deployment sets.
    #[serde(default)]
    pub configuration: BTreeMap<String, Property>,
    /// Values that are the same everywhere.
    #[serde(default)]
    pub constants: Map<String, Json>,
    /// A JSON Schema (2020-12) that parameters must match. Default: any.
    #[serde(default = "anything")]
    pub parameters: Json,
    /// The jq program. Its input has `parameters`, `configuration`, `constants` and `partition`.
    /// Its output is a JobSpec with only `task` or `batch`.
    pub program: String,
}

/// A value that the deployment sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
    /// The value if the deployment sets none. Without a default, the deployment must set it.
    #[serde(default)]
    pub default: Option<String>,
}

/// Why a definition cannot be used: a sentence for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDefinition(pub String);

fn anything() -> Json {
    Json::Bool(true)
}

impl Definition {
    /// Reads a definition in YAML or JSON. It does not check the schema and the program: see
    /// [`crate::Evaluator::check`].
    ///
    /// # Errors
    /// If it is not a definition, or too large.
    pub fn parse(text: &str) -> Result<Self, BadDefinition> {
        if text.len() > MOST_BYTES {
            let why = format!(
                "it must be at most {MOST_BYTES} bytes, and has {}",
                text.len()
            );
            return Err(BadDefinition(why));
        }
        let definition: Self = yaml::read(text).map_err(BadDefinition)?;
        let names = definition.configuration.keys();
        let plain = |name: &&String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(name) = names.clone().find(|name| !plain(name)) {
            let why = format!(
                "the name of configuration property {name:?} must be letters, digits and _"
            );
            return Err(BadDefinition(why));
        }
        if definition.program.trim().is_empty() {
            return Err(BadDefinition("its program is empty".to_owned()));
        }
        Ok(definition)
    }

    /// A version made from the text of a definition.
    pub fn version_of(text: &str) -> String {
        let hash = Sha256::digest(text);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        hex[..DIGITS].to_owned()
    }

    /// The variable of the environment that sets a property of a type:
    /// `HEADWAY_JOB_TYPE_{TYPE}_{PROPERTY}` in capitals, with `_` for every character that is no
    /// letter or digit. A definition can read no other variable.
    pub fn variable(job_type: &str, property: &str) -> String {
        let upper = |text: &str| -> String {
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            };
            text.chars().map(plain).collect()
        };
        format!("HEADWAY_JOB_TYPE_{}_{}", upper(job_type), upper(property))
    }

    /// The variables that set the properties of this definition under a name, and the common prefix
    /// of the name's variables.
    pub fn variables(&self, job_type: &str) -> BTreeSet<String> {
        let properties = self.configuration.keys();
        let set = properties.map(|property| Self::variable(job_type, property));
        set.chain([Self::variable(job_type, "")]).collect()
    }

    /// The values of the configuration, read from an environment.
    ///
    /// # Errors
    /// If a required property is not set.
    pub fn configured(
        &self,
        job_type: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, BadDefinition> {
        let mut values = BTreeMap::new();
        for (name, property) in &self.configuration {
            let variable = Self::variable(job_type, name);
            let Some(value) = environment(&variable).or_else(|| property.default.clone()) else {
                let why = format!(
                    "configuration property {name} is not set; set {variable} for the server"
                );
                return Err(BadDefinition(why));
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_read() {
        let text = "
description: Export
configuration:
  pipe: {default: export}
  bucket: {description: where to}
constants: {group: 20}
parameters: {type: object}
program: '{task: {pipe: .configuration.pipe}}'
";
        let definition = Definition::parse(text).unwrap();
        assert_eq!(definition.constants["group"], 20);
        let none = |_: &str| None;
        let error = definition.configured("my-export", none).unwrap_err();
        assert!(
            error.0.contains("HEADWAY_JOB_TYPE_MY_EXPORT_BUCKET"),
            "{error}"
        );
        let some =
            |name: &str| (name == "HEADWAY_JOB_TYPE_MY_EXPORT_BUCKET").then(|| "b".to_owned());
        let values = definition.configured("my-export", some).unwrap();
        assert_eq!(values["pipe"], "export");
        assert_eq!(values["bucket"], "b");
        assert_eq!(Definition::version_of(text).len(), DIGITS);
        assert_ne!(
            Definition::version_of(text),
            Definition::version_of("other")
        );
    }

    #[test]
    fn types_that_read_one_variable_are_told_apart() {
        let with = |property: &str| {
            Definition::parse(&format!("program: x\nconfiguration: {{{property}: {{}}}}")).unwrap()
        };
        let variables = |id: &str, property: &str| with(property).variables(id);
        // The names alone.
        assert!(!variables("Export", "a").is_disjoint(&variables("export", "b")));
        assert!(!variables("export-aws", "a").is_disjoint(&variables("export_aws", "b")));
        // Name and property together.
        assert!(!variables("export", "aws_key").is_disjoint(&variables("export-aws", "key")));
        assert!(variables("export", "key").is_disjoint(&variables("export-aws", "key")));
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", ""),
            ("program: ''", "empty"),
            ("programme: x", "programme"),
            ("description: x", "program"),
            ("program: x\nconfiguration: {a-b: {}}", "a-b"),
            ("program: x\nconstants: 5", ""),
        ] {
            let error = Definition::parse(text).expect_err(text);
            assert!(error.0.contains(why), "{text:?}: {error}");
        }
        let large = format!("program: {}", "x".repeat(MOST_BYTES));
        assert!(Definition::parse(&large).unwrap_err().0.contains("at most"));
    }
}
