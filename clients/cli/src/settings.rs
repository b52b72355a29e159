//! Settings from flags, environment and configuration file, in this order.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use serde::Deserialize;

use crate::{
    Console,
    args::{Format, GlobalArgs, duration},
    failure::Failure,
};

/// What holds for one command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub server: String,
    pub partition: String,
    /// Whether a flag chose the partition, which outranks also a job file.
    pub partition_by_flag: bool,
    /// Who the audit log says did it; may be empty.
    pub user: String,
    pub format: Format,
    /// How long one call may take.
    pub timeout: Duration,
    pub ca_file: Option<PathBuf>,
}

/// What the configuration file may say.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSettings {
    server: Option<String>,
    partition: Option<String>,
    user: Option<String>,
    output: Option<String>,
    timeout: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Settings {
    /// Gathers the settings of one command.
    pub(crate) fn load(flags: &GlobalArgs, console: &Console) -> Result<Self, Failure> {
        let file = match &flags.config {
            Some(path) => read(path, true)?,
            None => match (
                console.variable("HEADWAY_CLI_CONFIG"),
                default_path(console),
            ) {
                (Some(path), _) => read(Path::new(path), true)?,
                (None, Some(path)) => read(&path, false)?,
                (None, None) => FileSettings::default(),
            },
        };
        Self::merge(flags, console, file)
    }

    fn merge(flags: &GlobalArgs, console: &Console, file: FileSettings) -> Result<Self, Failure> {
        let text = |flag: &Option<String>, variable: &str, file: Option<String>| {
            let variable = || console.variable(variable).map(str::to_owned);
            flag.clone().or_else(variable).or(file)
        };
        let format = match flags.output {
            Some(format) => format,
            None => match text(&None, "HEADWAY_OUTPUT", file.output) {
                Some(name) => Format::from_str(&name, true).map_err(|_| {
                    Failure::usage(format!("output {name:?} is none of table, json, yaml"))
                })?,
                None => Format::Table,
            },
        };
        let timeout = match flags.timeout {
            Some(timeout) => timeout,
            None => match text(&None, "HEADWAY_TIMEOUT", file.timeout) {
                Some(value) => duration(&value)
                    .map_err(|problem| Failure::usage(format!("timeout {value:?} is {problem}")))?,
                None => Duration::from_secs(30),
            },
        };
        let ca_variable = || console.variable("HEADWAY_CA_FILE").map(PathBuf::from);
        Ok(Self {
            server: text(&flags.server, "HEADWAY_SERVER", file.server)
                .map_or_else(|| "http://127.0.0.1:6420".to_owned(), address),
            partition: text(&flags.partition, "HEADWAY_PARTITION", file.partition)
                .unwrap_or_else(|| "default".to_owned()),
            partition_by_flag: flags.partition.is_some(),
            user: text(&flags.user, "HEADWAY_USER", file.user)
                .or_else(|| login(console))
                .unwrap_or_default(),
            format,
            timeout,
            ca_file: flags.ca_file.clone().or_else(ca_variable).or(file.ca_file),
        })
    }
}

/// The name that the system knows the user by, unless the server keeps it for itself: programs run
/// under such names.
fn login(console: &Console) -> Option<String> {
    let own = |name: &&str| !["headway", "system"].contains(&name.to_ascii_lowercase().as_str());
    console.variable("USER").filter(own).map(str::to_owned)
}

/// A server's address; one such as `localhost:6420` is read as one without TLS.
fn address(text: String) -> String {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    match port.is_some_and(|port| port.parse::<u16>().is_ok()) && !text.contains("://") {
        true => format!("http://{text}"),
        false => text,
    }
}

/// Where the configuration file is looked for when nothing says where.
fn default_path(console: &Console) -> Option<PathBuf> {
    let folder = match console.variable("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(console.variable("HOME")?).join(".config"),
    };
    Some(folder.join("headway").join("config.yaml"))
}

/// Reads a configuration file; one that nobody asked for may be missing.
fn read(path: &Path, asked_for: bool) -> Result<FileSettings, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("configuration file {}: {why}", path.display()))
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !asked_for => {
            return Ok(FileSettings::default());
        }
        Err(error) => return Err(refuse(&error)),
    };
    if text.trim().is_empty() {
        return Ok(FileSettings::default());
    }
    headway_job_types::yaml::read(&text).map_err(|error| refuse(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Console {
        Console::captured(io::sink(), io::sink())
    }

    fn in_file() -> FileSettings {
        FileSettings {
            server: Some("http://file".to_owned()),
            partition: Some("of-file".to_owned()),
            user: Some("file-user".to_owned()),
            output: Some("yaml".to_owned()),
            timeout: Some("7s".to_owned()),
            ca_file: None,
        }
    }

    #[test]
    fn defaults_hold_when_nothing_is_said() {
        let settings = Settings::merge(&GlobalArgs::default(), &console(), FileSettings::default());
        let settings = settings.expect("defaults are valid");
        assert_eq!(settings.server, "http://127.0.0.1:6420");
        assert_eq!(settings.partition, "default");
        assert_eq!(settings.format, Format::Table);
        assert!(!settings.partition_by_flag);
    }

    #[test]
    fn flags_outrank_the_environment_and_that_the_file() {
        let console = console()
            .with_variable("HEADWAY_SERVER", "http://environment")
            .with_variable("HEADWAY_PARTITION", "of-environment")
            .with_variable("HEADWAY_OUTPUT", "");
        let flags = GlobalArgs {
            server: Some("http://flag".to_owned()),
            ..GlobalArgs::default()
        };
        let settings = Settings::merge(&flags, &console, in_file()).expect("valid settings");
        assert_eq!(settings.server, "http://flag");
        assert_eq!(settings.partition, "of-environment");
        assert_eq!(settings.format, Format::Yaml);
        assert_eq!(settings.timeout, Duration::from_secs(7));
    }

    #[test]
    fn an_address_needs_no_scheme() {
        let console = console().with_variable("HEADWAY_SERVER", "localhost:6420");
        let settings = Settings::merge(&GlobalArgs::default(), &console, FileSettings::default());
        assert_eq!(settings.expect("valid").server, "http://localhost:6420");
        assert_eq!(
            address("https://jobs.example.org".to_owned()),
            "https://jobs.example.org"
        );
    }

    #[test]
    fn the_file_of_a_server_is_another_one() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("of-server.yaml");
        fs::write(&path, "listen: 127.0.0.1:6420\n")?;
        let path = path.to_string_lossy();
        let console = console().with_variable("HEADWAY_CONFIG", path.clone());
        assert!(Settings::load(&GlobalArgs::default(), &console).is_ok());
        let console = console.with_variable("HEADWAY_CLI_CONFIG", path);
        assert!(Settings::load(&GlobalArgs::default(), &console).is_err());
        Ok(())
    }

    #[test]
    fn bad_values_are_usage() {
        for (variable, value) in [("HEADWAY_OUTPUT", "xml"), ("HEADWAY_TIMEOUT", "soon")] {
            let console = console().with_variable(variable, value);
            let failure =
                Settings::merge(&GlobalArgs::default(), &console, FileSettings::default());
            let failure = failure.expect_err(variable);
            assert_eq!(failure.status(), crate::ExitStatus::Usage);
            assert!(failure.to_string().contains(value), "{failure}");
        }
    }

    #[test]
    fn files_are_found_read_and_checked() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let folder = home.path().join(".config/headway");
        fs::create_dir_all(&folder)?;
        let path = folder.join("config.yaml");
        let console = console().with_variable("HOME", home.path().to_string_lossy());
        let load = || Settings::load(&GlobalArgs::default(), &console);

        assert_eq!(load().expect("no file").partition, "default");
        fs::write(&path, "partition: mine\n")?;
        assert_eq!(load().expect("a file").partition, "mine");
        fs::write(&path, "# nothing\n")?;
        assert_eq!(load().expect("only a comment").partition, "default");
        fs::write(&path, "partitoin: mine\n")?;
        let message = load().expect_err("an unknown key").to_string();
        assert!(
            message.contains("partitoin") && message.contains("config.yaml"),
            "{message}"
        );

        let flags = GlobalArgs {
            config: Some(home.path().join("absent.yaml")),
            ..GlobalArgs::default()
        };
        assert!(
            Settings::load(&flags, &console).is_err(),
            "a file that was asked for must exist"
        );
        Ok(())
    }
}
