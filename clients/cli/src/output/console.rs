//! Where output goes, and what the surroundings are: terminal, environment, time zone.

use std::{
    collections::HashMap,
    fmt,
    io::{self, IsTerminal, Write},
};

use indicatif::ProgressDrawTarget;
use jiff::tz::TimeZone;

/// Where a command writes, and what it knows of its surroundings.
pub struct Console {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    screen: Option<Screen>,
    variables: HashMap<String, String>,
    time_zone: TimeZone,
}

/// A terminal that the standard output goes to.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// How many columns it has.
    pub columns: usize,
    /// Makes the place where progress bars are drawn.
    pub bars: fn() -> ProgressDrawTarget,
}

impl Console {
    /// The process's own: its standard streams, its environment, the system's time zone.
    pub fn system() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = || usize::from(console::Term::stdout().size().1);
        Self {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            screen: terminal.then(|| Screen {
                columns: columns(),
                bars: ProgressDrawTarget::stdout,
            }),
            // A variable that is not UTF-8 cannot be one of ours.
            variables: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            time_zone: TimeZone::system(),
        }
    }

    /// Writes to the given places, without a terminal and an environment, in UTC.
    pub fn captured(
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        Self {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            screen: None,
            variables: HashMap::new(),
            time_zone: TimeZone::UTC,
        }
    }

    /// The same with a terminal.
    #[must_use]
    pub fn with_screen(mut self, screen: Screen) -> Self {
        self.screen = Some(screen);
        self
    }

    /// The same with one more environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The terminal that the standard output goes to.
    pub fn screen(&self) -> Option<Screen> {
        self.screen
    }

    /// How wide tables may be; `None` for as wide as they are.
    pub fn columns(&self) -> Option<usize> {
        self.screen.map(|screen| screen.columns)
    }

    /// An environment variable; one that is empty counts as not set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// The zone that times are shown in.
    pub fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    /// Writes a text, which ends its own lines, to the standard output.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// Writes a line to the standard output.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.text(&format!("{text}\n"))
    }

    /// Writes a text, which ends its own lines, to the standard error.
    pub(crate) fn error(&mut self, text: &str) -> io::Result<()> {
        self.stderr.write_all(text.as_bytes())?;
        self.stderr.flush()
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Console")
            .field("screen", &self.screen)
            .finish_non_exhaustive()
    }
}
