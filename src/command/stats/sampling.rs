//! Two looks at counters make a rate: the table of `stats` and `statsp`.
//!
//! With `--watch` every look is compared with the one before, so that only the first takes an extra wait.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::time::Duration;

use clap::Args;

use super::super::args::{ListFormat, TemplateText, duration};
use super::super::session::Session;
use crate::error::{Error, Exit};
use crate::model::stats::CpuSample;
use crate::model::{Listing, Row};
use crate::render::list::{self, Cells, Column};
use crate::render::structured;

/// Two looks closer to each other say nothing.
const CLOSEST: Duration = Duration::from_millis(50);

/// Flags of both.
#[derive(Debug, Args)]
pub struct Sampling {
    /// How long to measure, in seconds or as 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = duration)]
    seconds: Duration,
    /// Measure again and again; redraws a terminal
    #[arg(short, long)]
    watch: bool,
    /// How to show it; json, yaml and ndjson are one look at the counters
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        alias = "format"
    )]
    output: ListFormat,
    #[command(flatten)]
    template: TemplateText,
    /// Show ids whole
    #[arg(long)]
    no_trunc: bool,
}

/// A row and its rate.
#[derive(Debug)]
pub struct Sampled<R> {
    /// The newer look.
    pub stats: R,
    /// Percent of one core in between, if that can be told.
    pub percent: Option<f64>,
}

impl<R> Sampled<R> {
    /// The cell of the rate.
    pub fn percent_cell(&self) -> String {
        match self.percent {
            Some(percent) => format!("{percent:.2}"),
            None => "-".to_owned(),
        }
    }
}

/// The id that the runtime is to filter by: it takes one. Of several none; they are picked out of the answer.
pub fn only(wanted: &BTreeSet<String>) -> String {
    match wanted.len() {
        1 => wanted.first().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// What is shown of the rows.
pub struct Shown<'c, R> {
    /// The columns of the table.
    pub narrow: &'c [&'c Column<Sampled<R>>],
    /// Those of the wide one.
    pub wide: &'c [&'c Column<Sampled<R>>],
    /// The counter of a row.
    pub cpu: fn(&R) -> Option<CpuSample>,
    /// Whether a row is worth a line.
    pub keep: &'c dyn Fn(&Sampled<R>) -> bool,
}

impl Sampling {
    /// Looks, waits, looks again, shows, and with `--watch` goes on so.
    ///
    /// # Errors
    /// The runtime cannot be asked, or stdout written.
    pub async fn show<R: Row, F>(
        &self,
        session: &Session,
        shown: &Shown<'_, R>,
        look: impl Fn() -> F,
    ) -> Result<Exit, Error>
    where
        F: Future<Output = Result<Listing<R>, Error>>,
    {
        let pause = self.seconds.max(CLOSEST);
        let format = self.output.structured();
        if format.is_some() || self.output == ListFormat::GoTemplate {
            loop {
                let listing = look().await?;
                let elements = listing.items.iter().map(|item| &*item.bytes);
                let bytes = match format {
                    Some(format) => structured::list::<R>(format, elements)?,
                    None => self
                        .template
                        .render(&structured::list_value::<R>(elements)?)?,
                };
                session.output.data(&bytes)?;
                if !self.watch {
                    return Ok(Exit::Success);
                }
                tokio::time::sleep(pause).await;
            }
        }
        let mut before = samples(&look().await?, shown.cpu);
        loop {
            tokio::time::sleep(pause).await;
            let listing = look().await?;
            let now = samples(&listing, shown.cpu);
            // crictl takes a counter that is not there for 0.
            let lacking = session.dialect.is_crictl().then_some(0.0);
            let rows = compare(listing, &before, shown, lacking);
            let columns = match self.output {
                ListFormat::Wide => shown.wide,
                _ => shown.narrow,
            };
            let cells = Cells {
                now: session.now(),
                full_ids: self.no_trunc,
            };
            let table = list::table(columns, &rows, &cells).into_bytes();
            if !self.watch {
                session.output.data(&table)?;
                return Ok(Exit::Success);
            }
            session.output.redraw(&table)?;
            before = now;
        }
    }
}

fn samples<R: Row>(
    listing: &Listing<R>,
    cpu: fn(&R) -> Option<CpuSample>,
) -> HashMap<String, CpuSample> {
    let sample = |row: &R| Some((row.id().to_owned(), cpu(row)?));
    listing.rows().filter_map(sample).collect()
}

/// The rows in the order of their ids, as crictl shows them. One that is new has no rate of ours yet, one without a
/// counter that of `lacking`.
fn compare<R: Row>(
    listing: Listing<R>,
    before: &HashMap<String, CpuSample>,
    shown: &Shown<'_, R>,
    lacking: Option<f64>,
) -> Vec<Sampled<R>> {
    let mut rows: Vec<Sampled<R>> = listing
        .items
        .into_iter()
        .map(|item| {
            let percent = match (shown.cpu)(&item.row) {
                None => lacking,
                Some(now) => {
                    let before = before.get(item.row.id()).copied().unwrap_or(now);
                    now.percent_since(&before)
                }
            };
            Sampled {
                stats: item.row,
                percent,
            }
        })
        .filter(|row| (shown.keep)(row))
        .collect();
    rows.sort_by(|a, b| a.stats.id().cmp(b.stats.id()));
    rows
}
