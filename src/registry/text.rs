//! Where something is written: a text with its path, and places in it as line and column.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tree::Tree;

/// A piece of a file on one line. Lines and columns count from 1; columns and lengths are in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The file, as the node sees it.
    #[serde(with = "shared_path")]
    pub path: Arc<Path>,
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// How many characters belong to it, up to the end of the line.
    pub length: usize,
}

impl Place {
    /// The beginning of a file: where a fault of the whole file is shown.
    pub fn start_of(path: &Path) -> Self {
        Self {
            path: path.into(),
            line: 1,
            column: 1,
            length: 0,
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it is.
    pub place: Place,
}

impl<T> Located<T> {
    /// Puts the two together.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// A text with its path, which turns byte offsets into places.
#[derive(Clone, Debug)]
pub struct Text<'t> {
    path: Arc<Path>,
    body: &'t str,
    lines: Vec<usize>,
}

impl<'t> Text<'t> {
    /// Takes a text that was read from `path`.
    pub fn new(path: &Path, body: &'t str) -> Self {
        let newlines = body
            .bytes()
            .enumerate()
            .filter(|&(_, byte)| byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            path: path.into(),
            body,
            lines: std::iter::once(0).chain(newlines).collect(),
        }
    }

    /// The text itself.
    pub fn body(&self) -> &'t str {
        self.body
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The place of a range of bytes; what lies on later lines is cut off. Offsets beyond the end, or inside a
    /// character, are moved back.
    pub fn place(&self, range: Range<usize>) -> Place {
        let start = self.boundary(range.start);
        let end = self.boundary(range.end).max(start);
        let index = self
            .lines
            .partition_point(|&line| line <= start)
            .saturating_sub(1);
        let line_start = self.lines[index];
        let on_line = self.body[start..end].lines().next().unwrap_or_default();
        Place {
            path: Arc::clone(&self.path),
            line: index + 1,
            column: self.body[line_start..start].chars().count() + 1,
            length: on_line.chars().count(),
        }
    }

    fn boundary(&self, offset: usize) -> usize {
        self.body.floor_char_boundary(offset.min(self.body.len()))
    }
}

/// The lines of a tree's files by their number. Each file is cut once, so that thousands of remarks on one file do not
/// read it thousands of times.
#[derive(Debug)]
pub struct Lines<'t> {
    tree: &'t Tree,
    cut: RefCell<HashMap<PathBuf, Vec<Line<'t>>>>,
}

#[derive(Debug, Clone, Copy)]
struct Line<'t> {
    content: &'t str,
    /// The nearest line above that begins a table.
    table: Option<&'t str>,
}

impl<'t> Lines<'t> {
    /// The lines of the files of this tree.
    pub fn of(tree: &'t Tree) -> Self {
        Self {
            tree,
            cut: RefCell::default(),
        }
    }

    /// The line with this number, from 1. `None` if there is none, or no such text file.
    pub fn line(&self, path: &Path, number: usize) -> Option<&'t str> {
        self.find(path, number).map(|line| line.content)
    }

    /// The line that begins the table in which the line with this number stands: the nearest `[…` above it.
    pub fn table(&self, path: &Path, number: usize) -> Option<&'t str> {
        self.find(path, number).and_then(|line| line.table)
    }

    fn find(&self, path: &Path, number: usize) -> Option<Line<'t>> {
        let mut cut = self.cut.borrow_mut();
        if !cut.contains_key(path) {
            cut.insert(path.to_owned(), lines(self.tree.text(path)?));
        }
        cut.get(path)?.get(number.checked_sub(1)?).copied()
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut table = None;
    text.lines()
        .map(|content| {
            let line = Line { content, table };
            if content.trim_start().starts_with('[') {
                table = Some(content);
            }
            line
        })
        .collect()
}

/// Serde for the shared path of a [`Place`].
mod shared_path {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Arc<Path>, serializer: S) -> Result<S::Ok, S::Error> {
        path.to_string_lossy().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Path>, D::Error> {
        PathBuf::deserialize(deserializer).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn case(body: &str, range: Range<usize>, expected: (usize, usize, usize)) {
        let place = Text::new(Path::new("/f"), body).place(range);
        assert_eq!((place.line, place.column, place.length), expected);
    }

    #[test]
    fn places() {
        case("ab\ncd", 0..2, (1, 1, 2));
        case("ab\ncd", 3..5, (2, 1, 2));
        case("ab\ncd", 1..5, (1, 2, 1));
        case("ä = 1", 3..4, (1, 3, 1));
        case("", 0..0, (1, 1, 0));
        case("a\n", 2..2, (2, 1, 0));
        case("a", 7..9, (1, 2, 0));
    }

    proptest! {
        #[test]
        fn any_range_has_a_place(body in "\\PC*", start in 0usize..200, length in 0usize..200) {
            let place = Text::new(Path::new("/f"), &body).place(start..start + length);
            prop_assert!(place.line >= 1 && place.column >= 1);
        }
    }
}
