//! Lists as tables, in crictl's layout: no borders, capital headings, cells at least 20 wide and 3 apart, the last one
//! not padded.
//!
//! comfy-table would triple the time of a large `ps`, and scripts parse these columns.

use unicode_width::UnicodeWidthStr;

use super::{human, sanitize};

/// The least width of a cell, in columns of the terminal.
const MIN_WIDTH: usize = 20;
/// The space between cells.
const PADDING: usize = 3;

/// One column of a list of `R`.
pub struct Column<R> {
    /// The heading, in capitals.
    pub heading: &'static str,
    /// What stands in it.
    pub cell: fn(&R, &Cells) -> String,
}

/// What a cell has to know beside its row.
#[derive(Debug, Clone, Copy)]
pub struct Cells {
    /// Now, in nanoseconds since 1970.
    pub now: i64,
    /// Whether ids are shown whole.
    pub full_ids: bool,
}

impl Cells {
    /// An id as the table shows it.
    pub fn id(&self, id: &str) -> String {
        if self.full_ids {
            id.to_owned()
        } else {
            human::short_id(id).to_owned()
        }
    }

    /// An age as the table shows it.
    pub fn age(&self, created_at: i64) -> String {
        human::ago(created_at, self.now)
    }
}

/// Writes the table. The heading is written even when there are no rows, so that an empty list is not silence.
pub fn table<'r, R: 'r>(
    columns: &[&Column<R>],
    rows: impl IntoIterator<Item = &'r R>,
    cells: &Cells,
) -> String {
    let mut grid: Vec<Vec<String>> = vec![
        columns
            .iter()
            .map(|column| column.heading.to_owned())
            .collect(),
    ];
    grid.extend(rows.into_iter().map(|row| {
        let cell = |column: &&Column<R>| match sanitize::line(&(column.cell)(row, cells)) {
            std::borrow::Cow::Borrowed(text) => text.to_owned(),
            std::borrow::Cow::Owned(text) => text,
        };
        columns.iter().map(cell).collect()
    }));
    align(&grid)
}

/// Aligns cells that are already safe to show.
pub fn align(grid: &[Vec<String>]) -> String {
    let count = grid.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![MIN_WIDTH; count];
    for row in grid {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width() + PADDING);
        }
    }
    let mut text = String::new();
    for row in grid {
        for (index, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if index + 1 < row.len() {
                let padding = widths[index].saturating_sub(cell.width());
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}

/// A `Key: value` block, as `-v` shows a row. Pairs of a map follow their key, one to a line.
#[derive(Debug, Default)]
pub struct Block {
    text: String,
}

impl Block {
    /// Adds a line.
    pub fn line(&mut self, key: &str, value: &str) {
        self.text.push_str(key);
        self.text.push_str(": ");
        self.text.push_str(&sanitize::line(value));
        self.text.push('\n');
    }

    /// Adds a map, sorted by key; nothing if it is empty.
    pub fn map<'m>(
        &mut self,
        key: &str,
        pairs: impl IntoIterator<Item = (&'m String, &'m String)>,
    ) {
        let mut pairs = pairs.into_iter().peekable();
        if pairs.peek().is_none() {
            return;
        }
        self.text.push_str(key);
        self.text.push_str(":\n");
        for (name, value) in pairs {
            self.text.push('\t');
            self.text.push_str(&sanitize::line(name));
            self.text.push_str(" -> ");
            self.text.push_str(&sanitize::line(value));
            self.text.push('\n');
        }
    }

    /// The finished block.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Column<(&str, &str)> = Column {
        heading: "NAME",
        cell: |row, _| row.0.to_owned(),
    };
    const NOTE: Column<(&str, &str)> = Column {
        heading: "NOTE",
        cell: |row, _| row.1.to_owned(),
    };

    #[test]
    fn cells_are_aligned_as_crictl_does() {
        let rows = [
            ("a", "first"),
            ("a-name-longer-than-twenty", "日本"),
            ("日本", "x\ny"),
        ];
        let text = table(
            &[&NAME, &NOTE],
            &rows,
            &Cells {
                now: 0,
                full_ids: false,
            },
        );
        let expected = "NAME                        NOTE\n\
                        a                           first\n\
                        a-name-longer-than-twenty   日本\n\
                        日本                        x\\ny\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_list_has_a_heading() {
        let text = table(
            &[&NAME, &NOTE],
            [],
            &Cells {
                now: 0,
                full_ids: false,
            },
        );
        assert_eq!(text, "NAME                NOTE\n");
    }
}
