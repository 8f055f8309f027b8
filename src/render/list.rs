//! Lists as tables, in crictl's layout: no borders, capital headings, cells at least 20 wide and 3 apart, the last one
//! not padded.
//!
//! comfy-table would triple the time of a large `ps`, and scripts parse these columns.

use std::borrow::Cow;
use std::io;

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
    pub cell: for<'r> fn(&'r R, &Cells) -> Cow<'r, str>,
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
    pub fn id<'i>(&self, id: impl Into<Cow<'i, str>>) -> Cow<'i, str> {
        match id.into() {
            id if self.full_ids => id,
            Cow::Borrowed(id) => Cow::Borrowed(human::short_id(id)),
            Cow::Owned(id) => Cow::Owned(human::short_id(&id).to_owned()),
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
    let mut sheet = Sheet::new(columns, *cells);
    for row in rows {
        sheet.push((), row);
    }
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = sheet.write(None, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A table that grows row by row, of any length: cells stand one behind the other in one piece of memory until their
/// widths are known. Rows are sorted by their keys.
pub struct Sheet<'c, R, K> {
    columns: &'c [&'c Column<R>],
    cells: Cells,
    widths: Vec<usize>,
    rows: Sorted<K>,
    row: Vec<u8>,
}

impl<'c, R, K: Ord> Sheet<'c, R, K> {
    /// A table without rows.
    pub fn new(columns: &'c [&'c Column<R>], cells: Cells) -> Self {
        let widths = columns.iter().map(|column| room(column.heading)).collect();
        Self {
            columns,
            cells,
            widths,
            rows: Sorted::default(),
            row: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, key: K, row: &R) {
        self.row.clear();
        for (column, room_for) in self.columns.iter().zip(&mut self.widths) {
            let cell = (column.cell)(row, &self.cells);
            *room_for = (*room_for).max(MIN_WIDTH.max(keep(&mut self.row, &cell) + PADDING));
        }
        self.rows.push(key, &self.row);
    }

    /// Writes the heading and the rows, only the first ones if `keep` says so.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(mut self, keep: Option<usize>, out: &mut impl io::Write) -> io::Result<()> {
        if let Some(keep) = keep.filter(|keep| *keep < self.rows.count()) {
            // What is not shown takes no room.
            self.rows.truncate(keep);
            self.widths = self.columns.iter().map(|it| room(it.heading)).collect();
            for mut row in self.rows.unsorted() {
                for room_for in &mut self.widths {
                    let Some((_, width, rest)) = kept(row) else {
                        break;
                    };
                    *room_for = (*room_for).max(MIN_WIDTH.max(width + PADDING));
                    row = rest;
                }
            }
        }
        let mut page = Vec::with_capacity(2 * PAGE);
        let mut headings = Vec::new();
        for column in self.columns {
            self::keep(&mut headings, column.heading);
        }
        push_row(&mut page, &headings, &self.widths);
        for row in self.rows.sorted(keep) {
            push_row(&mut page, row, &self.widths);
            if page.len() >= PAGE {
                out.write_all(&page)?;
                page.clear();
            }
        }
        out.write_all(&page)
    }
}

/// How much is written at once, in bytes.
const PAGE: usize = 32 * 1024;

/// The room that a cell needs, with the space behind it.
fn room(cell: &str) -> usize {
    MIN_WIDTH.max(width(cell) + PADDING)
}

/// How many columns of a terminal a text takes. Nearly all of it is ASCII, where every byte takes one.
fn width(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.width()
    }
}

/// In front of a kept cell whose length is not its width, or too long for one byte: both follow in four bytes each.
const LONG: u8 = u8::MAX;

/// Puts a cell, safe to show, behind the others of its row, with its length in front; returns how many columns it takes.
fn keep(row: &mut Vec<u8>, cell: &str) -> usize {
    if let Ok(length) = u8::try_from(cell.len())
        && length < LONG
        && sanitize::is_plain(cell)
    {
        row.push(length);
        row.extend_from_slice(cell.as_bytes());
        return cell.len();
    }
    let cell = sanitize::line(cell);
    let width = width(&cell);
    row.push(LONG);
    for number in [cell.len(), width] {
        // A cell is part of a message, and those are shorter than 4 GiB.
        row.extend_from_slice(&(number as u32).to_le_bytes());
    }
    row.extend_from_slice(cell.as_bytes());
    width
}

/// The first of the kept cells, how many columns it takes, and those behind it.
fn kept(row: &[u8]) -> Option<(&[u8], usize, &[u8])> {
    let (&length, rest) = row.split_first()?;
    if length != LONG {
        let (cell, rest) = rest.split_at_checked(usize::from(length))?;
        return Some((cell, cell.len(), rest));
    }
    let (length, rest) = rest.split_first_chunk()?;
    let (width, rest) = rest.split_first_chunk()?;
    let (cell, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((cell, u32::from_le_bytes(*width) as usize, rest))
}

fn push_row(out: &mut Vec<u8>, row: &[u8], widths: &[usize]) {
    let (mut missing, mut row) = (0, row);
    for room in widths {
        let Some((cell, width, rest)) = kept(row) else {
            break;
        };
        out.resize(out.len() + missing, b' ');
        out.extend_from_slice(cell);
        missing = room.saturating_sub(width);
        row = rest;
    }
    out.push(b'\n');
}

/// Texts or messages, kept one behind the other in one piece of memory and handed out by their keys, the smallest first;
/// equal keys in the order in which they came.
#[derive(Debug)]
pub struct Sorted<K> {
    bytes: Vec<u8>,
    /// The key of each, and where it starts.
    starts: Vec<(K, usize)>,
}

impl<K> Default for Sorted<K> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            starts: Vec::new(),
        }
    }
}

impl<K: Ord> Sorted<K> {
    /// Keeps one more.
    pub fn push(&mut self, key: K, item: &[u8]) {
        self.starts.push((key, self.bytes.len()));
        self.bytes.extend_from_slice(item);
    }

    /// How many bytes are kept.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// All of them in the order in which they came.
    pub fn unsorted(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count()).map(|index| self.item(index))
    }

    /// All of them, or only the first ones, by their keys.
    pub fn sorted(&mut self, keep: Option<usize>) -> impl Iterator<Item = &[u8]> {
        let mut order: Vec<u32> = (0..u32::try_from(self.count()).unwrap_or(u32::MAX)).collect();
        // The place of arrival makes the order of equal keys: no memory is needed to keep it.
        order.sort_unstable_by_key(|&index| {
            let key = self.starts.get(index as usize).map(|(key, _)| key);
            (key, index)
        });
        order.truncate(keep.unwrap_or(usize::MAX));
        order.into_iter().map(|index| self.item(index as usize))
    }

    /// Drops all but the first ones.
    pub fn truncate(&mut self, keep: usize) {
        let mut kept = Self::default();
        let mut starts: Vec<(K, usize, usize)> = Vec::with_capacity(self.count());
        for (key, start) in std::mem::take(&mut self.starts) {
            if let Some(last) = starts.last_mut() {
                last.2 = start;
            }
            starts.push((key, start, self.bytes.len()));
        }
        starts.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, start, end) in starts.into_iter().take(keep) {
            kept.push(key, self.bytes.get(start..end).unwrap_or_default());
        }
        *self = kept;
    }

    fn item(&self, index: usize) -> &[u8] {
        let start = self.starts.get(index).map_or(0, |(_, start)| *start);
        let end = self.starts.get(index + 1);
        let end = end.map_or(self.bytes.len(), |(_, start)| *start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// Aligns cells that are already safe to show.
pub fn align(grid: &[Vec<String>]) -> String {
    let count = grid.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![MIN_WIDTH; count];
    for row in grid {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(self::width(cell) + PADDING);
        }
    }
    let mut text = String::new();
    for row in grid {
        for (index, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if index + 1 < row.len() {
                let padding = widths[index].saturating_sub(width(cell));
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
        cell: |row, _| row.0.into(),
    };
    const NOTE: Column<(&str, &str)> = Column {
        heading: "NOTE",
        cell: |row, _| row.1.into(),
    };

    #[test]
    fn cells_are_aligned_as_crictl_does() {
        let rows = [
            ("a", "first"),
            ("a-name-longer-than-twenty", "日本"),
            ("日本", "x\ny"),
            ("b", "long ".repeat(60).leak()),
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
                        日本                        x\\ny\n\
                        b                           ";
        assert_eq!(text, format!("{expected}{}\n", "long ".repeat(60)));
    }

    #[test]
    fn rows_are_sorted_and_only_the_first_are_kept() {
        let write = |keep| {
            let columns: &[&Column<(&str, &str)>] = &[&NAME, &NOTE];
            let mut sheet = Sheet::new(
                columns,
                Cells {
                    now: 0,
                    full_ids: false,
                },
            );
            for (key, name) in [(2, "c"), (1, "a"), (2, "d"), (1, "b")] {
                sheet.push(key, &(name, ""));
            }
            let mut text = Vec::new();
            sheet.write(keep, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            text.lines()
                .skip(1)
                .map(|line| line.trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(write(None), ["a", "b", "c", "d"]);
        assert_eq!(write(Some(3)), ["a", "b", "c"]);
        assert_eq!(write(Some(0)), [""; 0]);
    }

    #[test]
    fn rows_that_are_not_shown_take_no_room() {
        let columns: &[&Column<(&str, &str)>] = &[&NAME, &NOTE];
        let cells = Cells {
            now: 0,
            full_ids: false,
        };
        let mut sheet = Sheet::new(columns, cells);
        sheet.push(2, &("a-name-that-is-longer-than-a-cell", "x"));
        sheet.push(1, &("short", "y"));
        let mut text = Vec::new();
        sheet.write(Some(1), &mut text).unwrap();
        let expected = "NAME                NOTE\nshort               y\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_is_dropped_leaves_the_order_as_it_was() {
        let mut sorted = Sorted::default();
        for (key, item) in [(3, "e"), (1, ""), (2, "cc"), (1, "b"), (2, "d")] {
            sorted.push(key, item.as_bytes());
        }
        assert_eq!((sorted.count(), sorted.size()), (5, 5));
        let all: Vec<_> = sorted.unsorted().map(<[u8]>::to_vec).collect();
        assert_eq!(all, [&b"e"[..], b"", b"cc", b"b", b"d"]);
        sorted.truncate(3);
        sorted.push(1, b"a");
        let all: Vec<_> = sorted.sorted(None).map(<[u8]>::to_vec).collect();
        assert_eq!(all, [&b""[..], b"b", b"a", b"cc"]);
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
