//! Tables that fit the terminal.

use console::{measure_text_width, truncate_str};

/// The narrowest that a column is cut to.
const NARROWEST: usize = 8;

/// One column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub title: &'static str,
    /// Numbers stand at the right edge.
    pub right: bool,
    /// Which columns go first where the table is too wide: those with the lowest; 9 stays.
    pub importance: u8,
    /// Whether its texts may be cut.
    pub cut: bool,
}

impl Column {
    /// A column at the left edge that stays whole.
    pub(crate) const fn left(title: &'static str, importance: u8) -> Self {
        Self {
            title,
            right: false,
            importance,
            cut: false,
        }
    }

    /// The same at the right edge.
    pub(crate) const fn right(title: &'static str, importance: u8) -> Self {
        Self {
            right: true,
            ..Self::left(title, importance)
        }
    }

    /// A column at the left edge whose texts may be cut.
    pub(crate) const fn text(title: &'static str, importance: u8) -> Self {
        Self {
            cut: true,
            ..Self::left(title, importance)
        }
    }
}

/// Lays out rows under their columns' titles, in `limit` columns of a terminal if that is
/// possible at all. Every row has one cell for each column.
pub(crate) fn render(columns: &[Column], rows: &[Vec<String>], limit: Option<usize>) -> String {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| measure_text_width(cell)).max();
            widest.unwrap_or_default().max(column.title.len())
        })
        .collect();
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    if let Some(limit) = limit {
        fit(columns, &mut widths, &mut shown, limit);
    }
    let titles: Vec<String> = columns
        .iter()
        .map(|column| column.title.to_owned())
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for index in &shown {
            let (Some(column), Some(width), Some(cell)) =
                (columns.get(*index), widths.get(*index), row.get(*index))
            else {
                continue;
            };
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = truncate_str(cell, *width, "…");
            let gap = " ".repeat(width.saturating_sub(measure_text_width(&cell)));
            match column.right {
                true => line.extend([gap.as_str(), &cell]),
                false => line.extend([&cell, gap.as_str()]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Narrows texts and leaves out columns until the table fits.
fn fit(columns: &[Column], widths: &mut [usize], shown: &mut Vec<usize>, limit: usize) {
    loop {
        let gaps = 2 * shown.len().saturating_sub(1);
        let total: usize = gaps
            + shown
                .iter()
                .filter_map(|index| widths.get(*index))
                .sum::<usize>();
        let excess = total.saturating_sub(limit);
        if excess == 0 {
            return;
        }
        // The widest text that can give way.
        let widest = shown
            .iter()
            .copied()
            .filter(|index| columns.get(*index).is_some_and(|column| column.cut))
            .filter(|index| widths.get(*index).is_some_and(|width| *width > NARROWEST))
            .max_by_key(|index| widths.get(*index).copied());
        if let Some(width) = widest.and_then(|index| widths.get_mut(index)) {
            *width = width.saturating_sub(excess).max(NARROWEST);
            continue;
        }
        let least = shown
            .iter()
            .copied()
            .filter_map(|index| Some((columns.get(index)?.importance, index)))
            .filter(|(importance, _)| *importance < 9)
            .min();
        let Some((_, least)) = least else {
            return;
        };
        shown.retain(|index| *index != least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 4] = [
        Column::left("JOB", 9),
        Column::right("ITEMS", 5),
        Column::text("NAME", 3),
        Column::left("CREATED", 1),
    ];

    fn rows() -> Vec<Vec<String>> {
        vec![
            ["a", "1,000", "A long name of a job", "2026-03-01"]
                .map(str::to_owned)
                .to_vec(),
            ["bcd", "7", "", "2026-03-02"].map(str::to_owned).to_vec(),
        ]
    }

    #[test]
    fn columns_are_aligned() {
        let text = render(&COLUMNS, &rows(), None);
        assert_eq!(
            text,
            "JOB  ITEMS  NAME                  CREATED\n\
             a    1,000  A long name of a job  2026-03-01\n\
             bcd      7                        2026-03-02\n"
        );
    }

    #[test]
    fn texts_are_cut_before_columns_go() {
        let text = render(&COLUMNS, &rows(), Some(36));
        assert_eq!(
            text,
            "JOB  ITEMS  NAME          CREATED\n\
             a    1,000  A long name…  2026-03-01\n\
             bcd      7                2026-03-02\n"
        );
        let text = render(&COLUMNS, &rows(), Some(22));
        assert_eq!(text, "JOB  ITEMS  NAME\na    1,000  A long …\nbcd      7\n");
        assert_eq!(render(&COLUMNS, &rows(), Some(4)), "JOB\na\nbcd\n");
    }

    proptest! {
        #[test]
        fn a_table_fits_where_it_can(cells in prop::collection::vec("\\PC{0,40}", 4), limit in 30_usize..120) {
            let mut cells = cells;
            cells[0].truncate(0);
            let text = render(&COLUMNS, &[cells], Some(limit));
            for line in text.lines() {
                prop_assert!(measure_text_width(line) <= limit, "{:?}", line);
            }
        }
    }
}
