//! Following jobs until they have ended, as bars, lines or documents.

mod bars;
mod lines;

use std::{io, time::Duration};

use futures::{StreamExt, stream};
use headway::v1::{Job, JobState};
use headway_client::{JobName, is_final};
use tokio::time::{Instant, sleep_until};

use self::{bars::Bars, lines::Lines};
use crate::{
    Console,
    args::Format,
    failure::{ExitStatus, Failure},
    jobs::view,
    output::document::{Layout, render},
    remote::Remote,
};

/// How often news of a job is asked for at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// How progress is shown.
#[derive(Debug)]
pub(crate) enum Display {
    /// A bar for each job, on a terminal.
    Bars(Bars),
    /// Plain lines.
    Lines(Lines),
    /// Every state as a document.
    Documents(Layout),
    /// Not at all.
    Silent,
}

impl Display {
    /// What fits the output: bars on a terminal, plain lines elsewhere, documents for programs.
    pub(crate) fn fitting(console: &Console, remote: &Remote, names: &[JobName]) -> Self {
        match (remote.settings.format, console.screen()) {
            (Format::Json, _) => Self::Documents(Layout::JsonLine),
            (Format::Yaml, _) => Self::Documents(Layout::Yaml),
            (Format::Table, Some(screen)) => {
                Self::Bars(Bars::new(screen, names, &remote.settings.partition))
            }
            (Format::Table, None) => Self::Lines(Lines::new(names.len())),
        }
    }

    fn show(
        &mut self,
        console: &mut Console,
        partition: &str,
        index: usize,
        job: &Job,
    ) -> io::Result<()> {
        match self {
            Self::Bars(bars) => bars.show(index, job),
            Self::Lines(lines) => {
                let line = view::line(job, partition);
                if let Some(line) = lines.offer(index, job.state(), line, Instant::now()) {
                    console.line(&line)?;
                }
            }
            Self::Documents(layout) => console.text(&render(job, *layout)?)?,
            Self::Silent => {}
        }
        Ok(())
    }

    fn leave(&self, index: usize, why: &str) {
        if let Self::Bars(bars) = self {
            bars.leave(index, why);
        }
    }

    fn due(&self) -> Option<Instant> {
        match self {
            Self::Lines(lines) => lines.due(),
            Self::Bars(_) | Self::Documents(_) | Self::Silent => None,
        }
    }

    fn print_due(&mut self, console: &mut Console) -> io::Result<()> {
        if let Self::Lines(lines) = self {
            for line in lines.take_due(Instant::now()) {
                console.line(&line)?;
            }
        }
        Ok(())
    }
}

/// How jobs ended: for each its last state, or why it could not be followed.
pub(crate) type Ends = Vec<Result<Job, Failure>>;

/// Follows jobs until each has ended or cannot be followed any more.
pub(crate) async fn follow(
    remote: &Remote,
    console: &mut Console,
    names: &[JobName],
    display: &mut Display,
) -> io::Result<Ends> {
    let mut ends: Vec<Option<Result<Job, Failure>>> = names.iter().map(|_| None).collect();
    let watches = names.iter().enumerate().map(|(index, name)| {
        let states = remote.client.watch(name, Some(INTERVAL));
        states.map(move |state| (index, state))
    });
    let mut states = stream::select_all(watches);
    loop {
        let due = display.due();
        let next = tokio::select! {
            next = states.next() => next,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                display.print_due(console)?;
                continue;
            }
        };
        let Some((index, state)) = next else {
            break;
        };
        let (Some(end), Some(name)) = (ends.get_mut(index), names.get(index)) else {
            continue;
        };
        match state {
            Ok(job) => {
                display.show(console, &remote.settings.partition, index, &job)?;
                *end = Some(Ok(job));
            }
            Err(error) => {
                display.leave(index, "can no longer be followed");
                *end = Some(Err(remote.job_failure(name, "followed", error)));
            }
        }
    }
    Ok(ends.into_iter().flatten().collect())
}

/// The exit status of jobs that were waited for: the worst of them.
pub(crate) fn status(ends: &Ends) -> ExitStatus {
    let each = ends.iter().map(|end| match end {
        Ok(job) => match job.state() {
            JobState::Completed => ExitStatus::Completed,
            _ => ExitStatus::Failed,
        },
        Err(failure) => failure.status(),
    });
    each.max_by_key(|status| u8::from(*status))
        .unwrap_or(ExitStatus::Completed)
}

/// Tells how the jobs ended: for people a summary of each; failures always, on standard error.
pub(crate) fn conclude(
    remote: &Remote,
    console: &mut Console,
    ends: &Ends,
) -> io::Result<ExitStatus> {
    for end in ends {
        match end {
            Ok(job) if remote.settings.format == Format::Table && is_final(job.state()) => {
                console.text(&view::summary(job, &remote.settings.partition))?;
            }
            Ok(_) => {}
            Err(failure) => console.error(&failure.to_string())?,
        }
    }
    Ok(status(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: JobState) -> Result<Job, Failure> {
        Ok(Job {
            state: state.into(),
            ..Job::default()
        })
    }

    #[test]
    fn the_worst_job_decides() {
        let completed = || ended(JobState::Completed);
        assert_eq!(
            status(&vec![completed(), completed()]),
            ExitStatus::Completed
        );
        assert_eq!(
            status(&vec![completed(), ended(JobState::Failed)]),
            ExitStatus::Failed
        );
        assert_eq!(
            status(&vec![ended(JobState::Cancelled), completed()]),
            ExitStatus::Failed
        );
        assert_eq!(
            status(&vec![Err(Failure::usage("x")), ended(JobState::Failed)]),
            ExitStatus::Usage
        );
    }
}
