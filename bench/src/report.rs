//! The figures: a table for people and a flat JSON object for programs.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    key: String,
    value: f64,
    /// The raw limit that it is compared with.
    limit: Option<f64>,
    target: Option<(String, bool)>,
}

impl Row {
    /// A figure without a target.
    pub(crate) fn new(key: impl Into<String>, value: f64) -> Self {
        Self {
            key: key.into(),
            value,
            limit: None,
            target: None,
        }
    }

    /// The figure, if the row has this key.
    pub(crate) fn value_of(&self, key: &str) -> Option<f64> {
        (self.key == key).then_some(self.value)
    }

    /// At least `factor` times the raw limit, if that was measured.
    pub(crate) fn at_least_of(mut self, factor: f64, limit: Option<f64>) -> Self {
        self.limit = limit;
        self.target =
            limit.map(|limit| (format!(">= {factor} x limit"), self.value >= factor * limit));
        self
    }

    /// Compared with another figure, without a target.
    pub(crate) fn beside(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// At least this.
    pub(crate) fn at_least(mut self, least: f64) -> Self {
        self.target = Some((format!(">= {least}"), self.value >= least));
        self
    }

    /// At most this.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.target = Some((format!("<= {most:.0}"), self.value <= most));
        self
    }

    /// A target that the figure alone does not tell.
    pub(crate) fn target(mut self, text: impl Into<String>, met: bool) -> Self {
        self.target = Some((text.into(), met));
        self
    }
}

/// All figures of a run, in their order.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    thresholds: bool,
}

impl Report {
    /// An empty one. Without thresholds no target is shown.
    pub(crate) fn new(thresholds: bool) -> Self {
        Self {
            rows: Vec::new(),
            thresholds,
        }
    }

    /// Adds a figure and says it at once: a run takes minutes.
    pub(crate) fn add(&mut self, mut row: Row) {
        if !self.thresholds {
            row.target = None;
        }
        eprintln!("  {} = {}", row.key, round(row.value));
        self.rows.push(row);
    }

    /// A figure that was added before.
    pub(crate) fn value(&self, key: &str) -> Option<f64> {
        self.rows
            .iter()
            .find(|row| row.key == key)
            .map(|row| row.value)
    }

    /// How many targets were missed.
    pub(crate) fn missed(&self) -> usize {
        let targets = self.rows.iter().filter_map(|row| row.target.as_ref());
        targets.filter(|(_, met)| !met).count()
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let head = ["row", "value", "raw limit", "ratio", "target", "met"];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.rows {
            let ratio = row
                .limit
                .filter(|limit| *limit > 0.0)
                .map(|limit| format!("{:.2}", row.value / limit));
            let (target, met) = match &row.target {
                Some((text, met)) => (text.clone(), if *met { "yes" } else { "NO" }),
                None => (String::new(), ""),
            };
            lines.push([
                row.key.clone(),
                shown(row.value),
                row.limit.map(shown).unwrap_or_default(),
                ratio.unwrap_or_default(),
                target,
                met.to_owned(),
            ]);
        }
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or_default());
        let mut text = String::new();
        for line in &lines {
            let [key, value, limit, ratio, target, met] = line;
            let [w0, w1, w2, w3, w4, _] = widths;
            let line = format!(
                "{key:<w0$}  {value:>w1$}  {limit:>w2$}  {ratio:>w3$}  {target:<w4$}  {met}"
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The flat JSON object.
    pub(crate) fn json(&self) -> Value {
        let figures = self
            .rows
            .iter()
            .map(|row| (row.key.clone(), Value::from(round(row.value))));
        Value::Object(figures.collect::<Map<_, _>>())
    }

    /// Writes the JSON object to a file, whose folder is made if it is missing.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.json())?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Three decimals are more than any figure here is exact to.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn shown(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(thresholds: bool) -> Report {
        let mut report = Report::new(thresholds);
        report.add(Row::new("a.limit", 1000.0));
        let limit = report.value("a.limit");
        report.add(Row::new("c.rate", 499.0).at_least_of(0.5, limit));
        report.add(Row::new("f.time_ms", 7.0001).at_most(100.0));
        report
    }

    #[test]
    fn figures_stand_next_to_limits_and_targets() {
        let report = report(true);
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[2].contains("0.50") && lines[2].ends_with("NO"),
            "{table}"
        );
        assert!(
            lines[3].contains("<= 100 ") && lines[3].ends_with("yes"),
            "{table}"
        );
        assert_eq!(report.missed(), 1);
        assert_eq!(
            report.json(),
            serde_json::json!({"a.limit": 1000.0, "c.rate": 499.0, "f.time_ms": 7.0})
        );
    }

    #[test]
    fn without_thresholds_nothing_is_missed() {
        assert_eq!(report(false).missed(), 0);
    }

    #[test]
    fn a_limit_that_was_not_measured_sets_no_target() {
        let mut report = Report::new(true);
        report.add(Row::new("c.rate", 1.0).at_least_of(0.5, None));
        assert_eq!(report.missed(), 0);
    }
}
