//! Progress as bars on a terminal, one for each job.

use headway::v1::{Job, JobState};
use headway_client::{JobName, is_final};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{
    Screen,
    jobs::view::{label, progress, state_name},
    output::human::percentage,
};

/// The widest that a job's label is shown.
const LABEL: usize = 24;
/// How many steps a bar has: tenths of a per mille.
const STEPS: u64 = 10_000;

/// The bars of some jobs, in their order.
#[derive(Debug)]
pub(crate) struct Bars {
    bars: Vec<ProgressBar>,
}

impl Bars {
    /// Draws an empty bar for each job.
    pub(crate) fn new(screen: Screen, names: &[JobName], partition: &str) -> Self {
        let all = MultiProgress::with_draw_target((screen.bars)());
        let labels: Vec<_> = names
            .iter()
            .map(|name| {
                let label = label(&name.to_string(), partition);
                console::truncate_str(&label, LABEL, "…").into_owned()
            })
            .collect();
        let width = labels
            .iter()
            .map(|label| console::measure_text_width(label))
            .max();
        let width = width.unwrap_or_default();
        // A narrow terminal needs its columns for the numbers.
        let bar = if screen.columns >= 100 { 24 } else { 10 };
        let template = format!("{{prefix}} {{bar:{bar}.green}} {{wide_msg}}");
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = labels.into_iter().map(|label| {
            let bar = all.add(ProgressBar::new(STEPS));
            bar.set_style(style.clone());
            bar.set_prefix(
                console::pad_str(&label, width, console::Alignment::Left, None).into_owned(),
            );
            bar.set_message("waiting for the first state");
            bar
        });
        Self {
            bars: bars.collect(),
        }
    }

    /// Shows a job's newest state; its bar stays as it is once the job has ended.
    pub(crate) fn show(&self, index: usize, job: &Job) {
        let Some(bar) = self.bars.get(index) else {
            return;
        };
        bar.set_position(position(job));
        bar.set_message(message(job));
        if is_final(job.state()) {
            bar.abandon();
        }
    }

    /// No more news of a job will come.
    pub(crate) fn leave(&self, index: usize, why: &str) {
        if let Some(bar) = self.bars.get(index) {
            bar.abandon_with_message(why.to_owned());
        }
    }
}

fn share(job: &Job) -> f64 {
    job.progress
        .as_ref()
        .map_or(0.0, |progress| progress.percentage)
}

/// How many steps of its bar a job has done.
fn position(job: &Job) -> u64 {
    // Through text, since the standard library has no checked conversion of a float.
    let steps = format!("{:.0}", (share(job) * 100.0).floor());
    steps.parse().unwrap_or(0).min(STEPS)
}

/// The numbers, short: a bar in motion is an active job's, and what it counts is known.
fn message(job: &Job) -> String {
    let numbers = progress(job).replacen(" items", "", 1);
    match job.state() {
        JobState::Active => format!("{} {numbers}", percentage(share(job))),
        state => format!("{} {} {numbers}", percentage(share(job)), state_name(state)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headway::v1::JobProgress;

    fn job(percentage: f64) -> Job {
        let progress = JobProgress {
            percentage,
            items_known: 10,
            items_done: 4,
            total_final: true,
            ..JobProgress::default()
        };
        Job {
            state: JobState::Active.into(),
            progress: Some(progress),
            ..Job::default()
        }
    }

    #[test]
    fn a_bar_is_full_only_at_the_end() {
        let all = [0.0, 0.004, 42.0, 99.999, 100.0, 1e9, -1.0, f64::NAN]
            .map(|share| position(&job(share)));
        assert_eq!(all, [0, 0, 4200, 9999, 10_000, 10_000, 0, 0]);
    }

    #[test]
    fn a_bar_tells_counts() {
        let mut job = job(40.0);
        assert_eq!(message(&job), "40.0% 4/10");
        job.set_state(JobState::Paused);
        assert_eq!(message(&job), "40.0% PAUSED 4/10");
    }

    #[test]
    fn bars_follow_their_jobs() {
        let screen = Screen {
            columns: 80,
            bars: indicatif::ProgressDrawTarget::hidden,
        };
        let names: Vec<_> = ["a", "b"]
            .into_iter()
            .filter_map(|id| JobName::new("p", id).ok())
            .collect();
        let bars = Bars::new(screen, &names, "p");
        let mut done = job(100.0);
        done.set_state(JobState::Completed);
        bars.show(1, &done);
        bars.show(9, &done);
        bars.leave(0, "deleted");
        assert_eq!(bars.bars[1].position(), STEPS);
        assert!(bars.bars.iter().all(ProgressBar::is_finished));
        assert_eq!(bars.bars[0].message(), "deleted");
    }
}
