//! The server, as commands see it.

use std::fs;

use futures::{Stream, StreamExt, TryStreamExt};
use headway_client::{Client, ClientConfig, Error, JobName};

use crate::{failure::Failure, settings::Settings};

/// A connected client and the settings that its failures are told with.
#[derive(Debug)]
pub(crate) struct Remote {
    pub client: Client,
    pub settings: Settings,
}

impl Remote {
    /// Connects to the server of the settings.
    pub(crate) async fn connect(settings: Settings) -> Result<Self, Failure> {
        let mut config = ClientConfig::new(settings.server.clone());
        config.request_timeout = settings.timeout;
        config.user.clone_from(&settings.user);
        config.connect_timeout = config.connect_timeout.min(settings.timeout);
        config.user_agent = concat!("headway-cli/", env!("CARGO_PKG_VERSION")).to_owned();
        if let Some(path) = &settings.ca_file {
            let pem = fs::read(path).map_err(|error| {
                Failure::usage(format!("certificate file {}: {error}", path.display()))
            })?;
            config.ca_certificate = Some(pem);
        }
        match Client::connect(config).await {
            Ok(client) => Ok(Self { client, settings }),
            Err(error) => {
                let what = format!("cannot talk to {}", settings.server);
                let partition = settings.partition.clone();
                Err(Failure::Api {
                    what,
                    server: settings.server,
                    partition,
                    error: Box::new(error),
                })
            }
        }
    }

    /// The job that an argument names: an id of the settings' partition, or a full name.
    pub(crate) fn name(argument: &str, settings: &Settings) -> Result<JobName, Failure> {
        name(argument, &settings.partition)
    }

    /// A call about the settings' partition failed.
    pub(crate) fn failure(&self, what: impl Into<String>, error: Error) -> Failure {
        self.failure_in(&self.settings.partition, what, error)
    }

    /// A call about a job failed; `what` is what could not be done to it.
    pub(crate) fn job_failure(&self, name: &JobName, what: &str, error: Error) -> Failure {
        let what = format!("job {} could not be {what}", name.job());
        self.failure_in(name.partition(), what, error)
    }

    fn failure_in(&self, partition: &str, what: impl Into<String>, error: Error) -> Failure {
        Failure::Api {
            what: what.into(),
            server: self.settings.server.clone(),
            partition: partition.to_owned(),
            error: Box::new(error),
        }
    }
}

/// See [`Remote::name`].
fn name(argument: &str, partition: &str) -> Result<JobName, Failure> {
    Ok(match argument.contains('/') {
        true => argument.parse()?,
        false => JobName::new(partition, argument)?,
    })
}

/// The items of a list, or as many as are asked for.
pub(crate) async fn gather<T>(
    items: impl Stream<Item = Result<T, Error>>,
    limit: Option<u32>,
) -> Result<Vec<T>, Error> {
    let most = limit.and_then(|limit| usize::try_from(limit).ok());
    items.take(most.unwrap_or(usize::MAX)).try_collect().await
}

/// The size of the pages of a list that has a limit.
pub(crate) fn page_size(limit: Option<u32>, usual: u32) -> i32 {
    let size = limit.map_or(usual, |limit| limit.min(usual));
    i32::try_from(size).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_an_id_or_a_full_name() -> Result<(), Failure> {
        assert_eq!(name("j", "p")?.to_string(), "partitions/p/jobs/j");
        assert_eq!(name("partitions/q/jobs/j", "p")?.partition(), "q");
        for bad in ["", "a.b", "q/j", "partitions/q/jobs/"] {
            let failure = name(bad, "p").expect_err(bad);
            assert!(
                failure.to_string().contains("hint: a job is named by"),
                "{failure}"
            );
        }
        Ok(())
    }
}
