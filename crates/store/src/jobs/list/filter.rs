//! Which jobs to list.

use std::collections::BTreeMap;

use headway_domain::{
    Job, JobState,
    filter::{Filter, TextTest},
};

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// In one of these states; empty for any.
    pub states: Vec<JobState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// And like this, where more is asked for.
    pub more: Option<Filter>,
}

/// A filter as a statement looks at it.
pub(crate) struct FilterPlan<'a> {
    /// The id that jobs must have.
    pub(crate) id: Option<&'a str>,
    /// A label that jobs must have.
    pub(crate) label: Option<(&'a str, &'a str)>,
    /// States that jobs must be in; empty for any.
    pub(crate) states: Vec<JobState>,
    /// All of it, the label and the states included.
    pub(crate) rest: Filter,
}

impl JobFilter {
    /// Whether it is true of the job as it is.
    pub fn matches(&self, job: &Job) -> bool {
        let of_state = self.states.is_empty() || self.states.contains(&job.state());
        of_state && self.is_labelled(job) && self.more.as_ref().is_none_or(|more| more.matches(job))
    }

    /// Whether it may have been true of an earlier state of the job.
    pub fn may_have_matched(&self, job: &Job) -> bool {
        // Only a change of its spec gives a job other labels.
        let labelled = job.meta.version > 0 || self.is_labelled(job);
        let always = self.more.as_ref().and_then(|more| more.always(job));
        labelled && always != Some(false)
    }

    fn is_labelled(&self, job: &Job) -> bool {
        let labels = &job.meta.spec.labels;
        self.labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    pub(crate) fn plan(&self) -> FilterPlan<'_> {
        let label = self.labels.iter().next();
        let label = label.map(|(name, value)| (name.as_str(), value.as_str()));
        let more = self.more.as_ref();
        let states = match self.states.is_empty() {
            true => more.and_then(Filter::states).unwrap_or_default(),
            false => self.states.clone(),
        };
        let labels = self.labels.iter().map(|(name, value)| {
            Filter::Label(name.clone(), Some(TextTest::Equals(value.clone())))
        });
        let mut parts: Vec<Filter> = labels.collect();
        if !self.states.is_empty() {
            parts.push(Filter::Any(
                self.states.iter().copied().map(Filter::State).collect(),
            ));
        }
        parts.extend(more.filter(|more| !more.is_everything()).cloned());
        FilterPlan {
            id: more.and_then(Filter::id),
            label: label.or_else(|| more.and_then(Filter::label)),
            states,
            rest: Filter::All(parts),
        }
    }
}
