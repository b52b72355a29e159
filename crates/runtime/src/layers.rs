//! Layered settings: built-in defaults, then a YAML file, then environment variables, then what
//! the command line says; each layer wins over those before it, key by key.
//!
//! Every layer is also read alone, so that an error names the file and line, the variable or the
//! flag that it comes from. What the settings are is not known here; see [`crate::config`].

mod file;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Values by key.
type Mapping = serde_json::Map<String, Value>;

/// What the name of every variable begins with: `HEADWAY_DATA_DIR` sets `data_dir`, and
/// `HEADWAY_SECTION__KEY` sets `key` in `section`.
pub const VARIABLE_PREFIX: &str = "HEADWAY_";

/// The variable with the path of the configuration file.
pub const FILE_VARIABLE: &str = "HEADWAY_CONFIG";

/// Settings that can be loaded. The type and its sections should be `#[serde(default,
/// deny_unknown_fields)]`, and an optional setting must be one that is read from text.
pub trait Settings: Default + Serialize + DeserializeOwned {
    /// What is wrong with the values as a whole; empty when nothing is.
    fn problems(&self) -> Vec<Problem>;

    /// Whether a variable, named in small letters and without the prefix, is somebody else's: it is
    /// not warned of although no setting has its name.
    fn is_for_others(_: &str) -> bool {
        false
    }
}

/// A value that can be read but cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots between sections.
    pub key: &'static str,
    /// What it must be, as the end of a sentence that begins with the key; without secrets.
    pub message: String,
}

impl Problem {
    /// A problem with the value of `key`.
    pub fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            message: message.into(),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::Flag(key) => write!(formatter, "flag for {key}"),
        }
    }
}

/// Why settings could not be loaded. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A layer holds a key that does not exist or a value that cannot be read.
    #[error("{origin}: {reason}")]
    Value {
        /// The layer.
        origin: Origin,
        /// The key and what is wrong with it; in a file also the line.
        reason: String,
    },
    /// Values can be read but not used.
    #[error("the configuration is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// Settings, and what was found beside them.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings, validated.
    pub settings: T,
    /// Variables that begin like ours and name no setting. Not an error, because other programs
    /// and container platforms set such variables too.
    pub ignored: Vec<String>,
}

impl<T> Loaded<T> {
    /// Logs the names of the ignored variables, once telemetry is up, and gives the settings.
    pub fn log_ignored(self) -> T {
        if !self.ignored.is_empty() {
            tracing::warn!(variables = ?self.ignored, "ignoring environment variables that name no setting");
        }
        self.settings
    }
}

/// The sources of settings, in the order in which they win.
#[derive(Clone, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    variables: BTreeMap<OsString, OsString>,
    flags: Vec<(String, String)>,
}

impl Layers {
    /// Defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// This process's environment, and the file named by `file` or else by `HEADWAY_CONFIG`.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        let file = file.or_else(|| {
            env::var_os(FILE_VARIABLE)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        });
        Self::new().file(file).environment(env::vars_os())
    }

    /// The YAML file, which must exist.
    #[must_use]
    pub fn file(mut self, path: Option<PathBuf>) -> Self {
        self.file = path;
        self
    }

    /// Environment variables; those with another prefix and empty ones are skipped.
    #[must_use]
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        self.variables
            .extend(variables.into_iter().filter(|(_, value)| !value.is_empty()));
        self
    }

    /// What the command line says about `key` (with dots between sections), if it says anything. A
    /// list is written with commas; an empty text takes an optional setting back.
    #[must_use]
    pub fn set(mut self, key: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.flags.push((key.to_owned(), value.to_string()));
        }
        self
    }

    /// Reads, merges and validates all layers.
    ///
    /// # Errors
    /// Where the file cannot be read, a key is unknown (in the file or a flag), a value cannot be
    /// read, or the values together are not valid; all problems of the last sort at once.
    pub fn load<T: Settings>(&self) -> Result<Loaded<T>, ConfigError> {
        // The defaults say which keys there are and of what sort each value is.
        let known = serde_json::to_value(T::default()).unwrap_or(Value::Null);
        let mut merged = Merged::default();
        let mut ignored = Vec::new();

        if let Some(path) = &self.file {
            merged.add(file::read::<T>(path)?, &Origin::File(path.clone()));
        }
        for (name, value) in &self.variables {
            let Some(name) = name.to_str().filter(|name| *name != FILE_VARIABLE) else {
                continue;
            };
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            let key = key.to_lowercase();
            let path: Vec<&str> = key.split("__").collect();
            let Some(sort) = sort_of(&known, &path) else {
                if !T::is_for_others(&key) {
                    ignored.push(name.to_owned());
                }
                continue;
            };
            let origin = Origin::Variable(name.to_owned());
            let Some(text) = value.to_str() else {
                return Err(ConfigError::Value {
                    origin,
                    reason: "is not valid unicode".to_owned(),
                });
            };
            merged.add(read_text::<T>(&path, sort, text, &origin)?, &origin);
        }
        for (key, text) in &self.flags {
            let path: Vec<&str> = key.split('.').collect();
            let origin = Origin::Flag(key.clone());
            let Some(sort) = sort_of(&known, &path) else {
                return Err(ConfigError::Value {
                    origin,
                    reason: "there is no such setting".to_owned(),
                });
            };
            let text = if sort.is_null() && text.is_empty() {
                None
            } else {
                Some(text)
            };
            let value = match text {
                Some(text) => read_text::<T>(&path, sort, text, &origin)?,
                None => nested(&path, Value::Null),
            };
            merged.add(value, &origin);
        }

        let settings: T = serde_json::from_value(Value::Object(merged.values))
            .map_err(|error| ConfigError::Invalid(vec![error.to_string()]))?;
        let problems = settings.problems();
        if problems.is_empty() {
            return Ok(Loaded { settings, ignored });
        }
        let explain = |Problem { key, message }| match merged.origins.get(key) {
            Some(origin) => format!("{key} {message} ({origin})"),
            None => format!("{key} {message}"),
        };
        Err(ConfigError::Invalid(
            problems.into_iter().map(explain).collect(),
        ))
    }
}

/// The values so far, and which layer each came from.
#[derive(Default)]
struct Merged {
    values: Mapping,
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    fn add(&mut self, layer: Mapping, origin: &Origin) {
        merge(&mut self.values, layer, "", &mut |key| {
            self.origins.insert(key, origin.clone());
        });
    }
}

/// Sections are merged; every other value replaces the one before it, lists included.
fn merge(into: &mut Mapping, layer: Mapping, prefix: &str, note: &mut impl FnMut(String)) {
    for (key, value) in layer {
        let name = format!("{prefix}{key}");
        match (into.get_mut(&key), value) {
            (Some(Value::Object(section)), Value::Object(layer)) => {
                merge(section, layer, &format!("{name}."), note)
            }
            (_, Value::Object(layer)) => {
                let mut section = Mapping::new();
                merge(&mut section, layer, &format!("{name}."), note);
                into.insert(key, Value::Object(section));
            }
            (_, value) => {
                note(name);
                into.insert(key, value);
            }
        }
    }
}

/// Reads one text as the value at `path`, which is of the same sort as the default there.
fn read_text<T: DeserializeOwned>(
    path: &[&str],
    sort: &Value,
    text: &str,
    origin: &Origin,
) -> Result<Mapping, ConfigError> {
    let value = match sort {
        Value::Bool(_) => text.parse().map_or_else(|_| text.into(), Value::Bool),
        Value::Number(_) => number(text),
        Value::Array(_) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect(),
        _ => text.into(),
    };
    let mapping = nested(path, value);
    match serde_json::from_value::<T>(Value::Object(mapping.clone())) {
        Ok(_) => Ok(mapping),
        Err(error) => Err(ConfigError::Value {
            origin: origin.clone(),
            reason: error.to_string(),
        }),
    }
}

/// A number where the text is one; else the text, about which serde then complains.
fn number(text: &str) -> Value {
    if let Ok(value) = text.parse::<u64>() {
        return value.into();
    }
    if let Ok(value) = text.parse::<i64>() {
        return value.into();
    }
    text.parse::<f64>()
        .map_or_else(|_| text.into(), Value::from)
}

/// The default at `path`; `None` where there is no setting (a section is none).
fn sort_of<'a>(known: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let found = path
        .iter()
        .try_fold(known, |value, key| value.as_object()?.get(*key))?;
    (!found.is_object()).then_some(found)
}

fn nested(path: &[&str], value: Value) -> Mapping {
    let mut mapping = Mapping::new();
    if let [key, rest @ ..] = path {
        let value = if rest.is_empty() {
            value
        } else {
            Value::Object(nested(rest, value))
        };
        mapping.insert((*key).to_owned(), value);
    }
    mapping
}

#[cfg(test)]
mod tests;
