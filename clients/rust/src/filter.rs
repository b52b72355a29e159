//! Filters of jobs: see `ListJobsRequest.filter`.

use headway::v1::JobState;

/// Writes a filter of jobs: all that is said must hold.
///
/// ```
/// use headway_client::{JobFilter, v1::JobState};
///
/// let filter = JobFilter::new()
///     .matching("display_name = nightly*")
///     .states([JobState::Failed, JobState::Cancelled])
///     .label("team", "blue")
///     .build();
/// assert_eq!(
///     filter,
///     r#"display_name = nightly* AND state = (FAILED OR CANCELLED) AND labels."team" = "blue""#
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// What the caller wrote. It comes first, so that errors name places in it.
    written: String,
    parts: Vec<String>,
}

impl JobFilter {
    /// All jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only jobs that match this filter.
    #[must_use]
    pub fn matching(mut self, filter: &str) -> Self {
        let filter = filter.trim();
        match (filter.is_empty(), self.written.is_empty()) {
            (true, _) => {}
            (false, true) => self.written = filter.to_owned(),
            (false, false) => self.parts.push(filter.to_owned()),
        }
        self
    }

    /// Only jobs in one of these states; none for any.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = JobState>) -> Self {
        let names = states.into_iter().map(|state| {
            let name = state.as_str_name();
            name.strip_prefix("JOB_STATE_").unwrap_or(name)
        });
        let names: Vec<&str> = names.collect();
        match names.as_slice() {
            [] => {}
            [only] => self.parts.push(format!("state = {only}")),
            names => self.parts.push(format!("state = ({})", names.join(" OR "))),
        }
        self
    }

    /// Only jobs with this label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        let part = format!("labels.{} = {}", quoted(key), quoted(value));
        self.parts.push(part);
        self
    }

    /// The filter.
    pub fn build(self) -> String {
        let written = Some(self.written).filter(|filter| !filter.is_empty());
        let parts: Vec<String> = written.into_iter().chain(self.parts).collect();
        parts.join(" AND ")
    }
}

/// A text that stands for itself: a `*` in it is no pattern.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\' | '*') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_no_filter() {
        assert_eq!(JobFilter::new().build(), "");
        assert_eq!(JobFilter::new().matching(" ").states([]).build(), "");
    }

    #[test]
    fn parts_are_joined_after_what_was_written() {
        let filter = JobFilter::new()
            .label("a:b", r#"say "*" \"#)
            .states([JobState::Active])
            .matching("id = a OR id = b")
            .matching("pipe = work");
        let expected = r#"id = a OR id = b AND labels."a:b" = "say \"\*\" \\" AND state = ACTIVE AND pipe = work"#;
        assert_eq!(filter.build(), expected);
    }
}
