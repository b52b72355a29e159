//! Logs: one subscriber a process, written to standard error so that standard output stays free
//! for what a command answers.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colour when standard error is a terminal and `NO_COLOR` is not set.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the log filter cannot be read: {0}")]
pub struct FilterError(#[from] tracing_subscriber::filter::ParseError);

/// Reads a filter such as `info` or `info,headway_store=debug`.
///
/// # Errors
/// Where a directive is malformed. A misspelt level counts as a module's name and is accepted.
pub fn parse_filter(filter: &str) -> Result<EnvFilter, FilterError> {
    // The AMQP library logs as errors what this project's own recovery expects and reports itself;
    // a directive of the user's, which comes later, wins.
    Ok(EnvFilter::builder().parse(format!("lapin=off,{filter}"))?)
}

/// Installs the process's subscriber. Later calls change nothing, so tests may all call it.
///
/// # Errors
/// Where the filter cannot be read; nothing is installed then.
pub fn init(filter: &str, format: LogFormat) -> Result<(), FilterError> {
    let filter = parse_filter(filter)?;
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // The only error is "there is one already", which is what being idempotent means here.
    let _ = subscriber(filter, format, colour, std::io::stderr).try_init();
    Ok(())
}

fn subscriber<Writer>(
    filter: EnvFilter,
    format: LogFormat,
    colour: bool,
    writer: Writer,
) -> Box<dyn Subscriber + Send + Sync>
where
    Writer: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        // Otherwise a closed standard error is answered with `eprintln!`, which panics.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .finish(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat) -> String {
        let buffer = Buffer::default();
        let sink = buffer.clone();
        let subscriber = subscriber(parse_filter(filter).unwrap(), format, false, move || {
            sink.clone()
        });
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(job = "a", items = 3, "job created");
            tracing::debug!("detail");
        });
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_is_one_plain_line_an_event() {
        let text = logged("info", LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("INFO") && text.contains("job created") && text.contains("items=3"),
            "{text}"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_flat_fields() {
        let text = logged("info", LogFormat::Json);
        assert_eq!(text.lines().count(), 1, "{text}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["message"], "job created");
        assert_eq!(object["items"], 3);
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn the_filter_filters() {
        assert_eq!(logged("debug", LogFormat::Text).lines().count(), 2);
        assert_eq!(
            logged("warn,headway_runtime=debug", LogFormat::Text)
                .lines()
                .count(),
            2
        );
        assert_eq!(logged("warn", LogFormat::Text), "");
        assert!(parse_filter("info,headway=loud").is_err());
    }

    #[test]
    fn a_second_call_is_harmless() {
        init("info", LogFormat::Text).unwrap();
        init("debug", LogFormat::Json).unwrap();
        assert!(init("headway=loud", LogFormat::Text).is_err());
    }
}
