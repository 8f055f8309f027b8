//! Lists of any length, shown while they arrive: the same ways for containers, pods and images.
//!
//! A table keeps the cells of its rows and nothing else of them, NDJSON keeps nothing at all. One JSON document is sorted
//! as crictl sorts it as long as it comes from no more than ten megabytes; a longer list, most of which crictl could not
//! receive, is written in the runtime's order, so that its memory has an end too.

use std::io;

use super::args::{ListFormat, ListOutput, TemplateText};
use super::session::Session;
use crate::error::Error;
use crate::model::{Listed, Row};
use crate::render::list::{Cells, Column, Sheet, Sorted};
use crate::render::sanitize;
use crate::render::structured::{self, Format, List};

/// How much of a list is kept to be sorted before it is written as JSON, in bytes.
const SORTED: usize = 10 * 1024 * 1024;

/// Hands on the rows that an element has in the table.
type Rows<L, R> = fn(&L, &mut dyn FnMut(&R));

/// What a list looks like.
pub struct Look<'c, L: Listed, R, K> {
    /// The columns of its table.
    pub columns: &'c [&'c Column<R>],
    /// The rows that an element has in the table.
    pub rows: Rows<L, R>,
    /// By what it is sorted.
    pub key: fn(&L) -> K,
    /// An element as `-v` shows it.
    pub block: fn(&L::Whole, &Cells) -> String,
    /// How many elements are shown, if not all.
    pub keep: Option<usize>,
}

/// A list that is being shown.
pub struct Showing<'c, L: Listed, R, K, W> {
    look: Look<'c, L, R, K>,
    template: &'c TemplateText,
    cells: Cells,
    form: Form<'c, R, K, W>,
    seen: usize,
    unreadable: usize,
}

/// What it is shown as, and what is kept for that.
enum Form<'c, R, K, W> {
    Table(Sheet<'c, R, K>, W),
    /// Ids or blocks.
    Texts(Sorted<K>, Text, W),
    /// A document that has to be sorted or cut.
    Document(Sorted<K>, Format, W),
    /// A document for a template.
    Template(Sorted<K>, W),
    /// A document that is written as it comes.
    Stream(List<W>),
    /// Between two forms; never seen.
    Nothing,
}

/// What stands for an element where there is no table.
#[derive(Clone, Copy)]
enum Text {
    Id,
    Block,
}

impl<'c, L: Listed, R, K: Ord, W: io::Write> Showing<'c, L, R, K, W> {
    /// Begins a list.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(
        how: &'c ListOutput,
        look: Look<'c, L, R, K>,
        now: i64,
        out: W,
    ) -> Result<Self, Error> {
        let cells = Cells {
            now,
            full_ids: how.no_trunc,
        };
        let form = match how.output {
            ListFormat::Ndjson if look.keep.is_none() => {
                Form::Stream(List::new::<L::Whole>(Format::Ndjson, out)?)
            }
            _ if let Some(format) = how.output.structured() => {
                Form::Document(Sorted::default(), format, out)
            }
            ListFormat::GoTemplate => Form::Template(Sorted::default(), out),
            _ if how.quiet => Form::Texts(Sorted::default(), Text::Id, out),
            _ if how.verbose => Form::Texts(Sorted::default(), Text::Block, out),
            _ => Form::Table(Sheet::new(look.columns, cells), out),
        };
        Ok(Self {
            look,
            template: &how.template,
            cells,
            form,
            seen: 0,
            unreadable: 0,
        })
    }

    /// Shows an element, now or at the end; `None` is one that could not be read.
    ///
    /// # Errors
    /// Writing fails.
    pub fn add(&mut self, listed: Option<L>) -> Result<(), Error> {
        self.seen += 1;
        let Some(listed) = &listed else {
            self.unreadable += 1;
            return Ok(());
        };
        let key = self.look.key;
        match &mut self.form {
            Form::Table(sheet, _) => {
                (self.look.rows)(listed, &mut |row| sheet.push(key(listed), row));
            }
            Form::Texts(texts, Text::Id, _) => {
                texts.push(key(listed), sanitize::line(&listed.id()).as_bytes());
            }
            Form::Texts(texts, Text::Block, _) => match listed.whole() {
                Some(whole) => {
                    let block = (self.look.block)(&whole, &self.cells);
                    texts.push(key(listed), block.as_bytes());
                }
                None => self.unreadable += 1,
            },
            Form::Document(kept, format, _) => {
                kept.push(key(listed), listed.element());
                match self.look.keep {
                    Some(keep) if kept.count() >= 2 * keep + 1000 => kept.truncate(keep),
                    None if *format == Format::Json && kept.size() > SORTED => self.stream()?,
                    _ => {}
                }
            }
            Form::Stream(list) => {
                self.unreadable += written(list.element(listed.element()))?;
            }
            Form::Template(kept, _) => kept.push(key(listed), listed.element()),
            Form::Nothing => {}
        }
        Ok(())
    }

    /// Stops keeping elements: from now on they are written as they come.
    fn stream(&mut self) -> Result<(), Error> {
        if let Form::Document(kept, format, out) = std::mem::replace(&mut self.form, Form::Nothing)
        {
            let mut list = List::new::<L::Whole>(format, out)?;
            for element in kept.unsorted() {
                self.unreadable += written(list.element(element))?;
            }
            self.form = Form::Stream(list);
        }
        Ok(())
    }

    /// Shows what was kept, and says what could not be shown.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self, session: &Session) -> Result<(), Error> {
        let keep = self.look.keep;
        match self.form {
            Form::Table(sheet, mut out) => sheet.write(keep, &mut out)?,
            Form::Texts(mut texts, _, mut out) => {
                let mut page = Vec::new();
                for text in texts.sorted(keep) {
                    page.extend_from_slice(text);
                    page.push(b'\n');
                }
                out.write_all(&page)?;
            }
            Form::Document(mut kept, format, out) => {
                let mut list = List::new::<L::Whole>(format, out)?;
                for element in kept.sorted(keep) {
                    self.unreadable += written(list.element(element))?;
                }
                list.finish()?;
            }
            Form::Template(mut kept, mut out) => {
                let document = structured::list_value::<L::Whole>(kept.sorted(keep))?;
                out.write_all(&self.template.render(&document)?)?;
            }
            Form::Stream(list) => drop(list.finish()?),
            Form::Nothing => {}
        }
        if self.unreadable > 0 {
            session.output.warning(format!(
                "{} of {} {} could not be read and are left out",
                self.unreadable,
                self.seen,
                L::Whole::PLURAL
            ));
        }
        Ok(())
    }
}

/// How many elements could not be written: none or this one.
fn written(outcome: Result<(), structured::Error>) -> Result<usize, structured::Error> {
    match outcome {
        Ok(()) => Ok(0),
        Err(error) if error.is_malformed() => Ok(1),
        Err(error) => Err(error),
    }
}
