//! One container's log over all of its files: rotated ones first, then the one that is being written, and on through
//! every rotation that happens meanwhile. Nothing is left out and nothing is given twice.
//!
//! After a rename the old file is read to its end, then whatever was rotated in between, then the new one; the old one
//! is looked at for some seconds more, because a runtime may still be flushing into it. After copy-and-truncate the copy
//! is found by its first line and read from where the log was left. Only what a rotation itself loses is lost.
//!
//! Everything here blocks on the disk; [`Log`](super::Log) calls it on a thread.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::decode::{Decoder, Piece};
use super::live::{Got, Live};
use super::place::{self, CHUNK, Place};
use super::record::{self, Output};
use super::rotation::{self, Input, Rotated};
use super::tail;

/// How long a file that was renamed is looked at.
const LATE: Duration = Duration::from_secs(5);

/// How long to wait before it is looked again whether the runtime has made a new file.
const REOPENING: Duration = Duration::from_millis(20);

/// How often it is looked again while the log changes under the look.
const ATTEMPTS: usize = 50;

/// The two outputs may be so far apart in the file, in nanoseconds.
const DISORDER: i64 = 10_000_000_000;

/// What of a log is wanted.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only the last so many lines.
    pub tail: Option<usize>,
    /// Only what was logged at this time or later, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// Only what was logged at this time or earlier.
    pub until: Option<i64>,
    /// Only one of the two outputs.
    pub output: Option<Output>,
    /// Only the file that is being written, none that was rotated before.
    pub current_only: bool,
}

impl Options {
    /// Whether a line of this output is wanted.
    pub fn wants(&self, output: Output) -> bool {
        self.output.is_none_or(|wanted| wanted == output)
    }
}

/// How things stand after a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is more to be read at once.
    More,
    /// There is nothing more for now.
    Idle,
    /// Nothing of what comes is wanted.
    Over,
}

/// A log.
#[derive(Debug)]
pub struct Source {
    place: Place,
    options: Options,
    waiting: VecDeque<Rotated>,
    reading: Option<(PathBuf, Input)>,
    decoder: Decoder,
    live: Option<Live>,
    late: Vec<(Live, Instant)>,
    settled: Settled,
    newest: Option<i64>,
    skip: [u64; 2],
    counted: (u64, u64),
    /// What could not be read on the way, to be told.
    pub troubles: Vec<String>,
}

impl Source {
    /// Opens a log.
    ///
    /// # Errors
    /// As [`Place::open`], or it cannot be read.
    pub fn open(place: Place, options: Options) -> io::Result<Self> {
        let mut live = open_in_time(&place)?;
        let mut settled = Settled::default();
        let mut waiting;
        let mut skip;
        let mut attempts = 0;
        loop {
            let head;
            (waiting, head) = before(&place, &live, &settled)?;
            let all = waiting.clone();
            skip = [0, 0];
            if options.current_only {
                waiting.clear();
            }
            if let Some(lines) = options.tail {
                let window = tail::window(&place, &waiting, live.file(), lines, &options)?;
                waiting.drain(..window.first);
                if waiting.is_empty() {
                    live.start_at(window.offset)?;
                }
                skip = window.skip;
            } else if let Some(since) = options.since {
                skip_older(&mut waiting, live.file(), since);
            }
            attempts += 1;
            // Truncated while it was looked at: nothing of what was found out holds.
            if place::head(live.file())?.starts_with(&head) || attempts == ATTEMPTS {
                settled.add(&all);
                break;
            }
        }
        Ok(Self {
            place,
            options,
            waiting: waiting.into(),
            reading: None,
            decoder: Decoder::default(),
            live: Some(live),
            late: Vec::new(),
            settled,
            newest: None,
            skip,
            counted: (0, 0),
            troubles: Vec::new(),
        })
    }

    /// Reads what is there, up to a chunk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn read(&mut self, out: &mut Vec<Piece>) -> io::Result<State> {
        let mut pieces = Vec::new();
        let is_more = self.step(&mut pieces)?;
        let is_over = self.keep_wanted(pieces, out);
        Ok(match (is_over, is_more) {
            (true, _) => State::Over,
            (false, true) => State::More,
            (false, false) => State::Idle,
        })
    }

    /// Gives what is held back of lines that have not ended: nobody will wait for the rest.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        let mut pieces = Vec::new();
        for (late, _) in &mut self.late {
            late.decoder.finish(&mut pieces);
        }
        self.decoder.finish(&mut pieces);
        if let Some(live) = &mut self.live {
            live.decoder.finish(&mut pieces);
        }
        self.keep_wanted(pieces, out);
    }

    /// Lines that were in a known dialect, and lines that were not.
    pub fn counts(&self) -> (u64, u64) {
        let decoders = [&self.decoder]
            .into_iter()
            .chain(self.live.iter().map(|live| &live.decoder))
            .chain(self.late.iter().map(|(late, _)| &late.decoder));
        decoders.fold(self.counted, |(readable, unreadable), decoder| {
            (readable + decoder.readable, unreadable + decoder.unreadable)
        })
    }

    /// One step; whether there may be more at once.
    fn step(&mut self, out: &mut Vec<Piece>) -> io::Result<bool> {
        self.read_late(out)?;
        if let Some((path, input)) = &mut self.reading {
            let mut chunk = vec![0; CHUNK];
            let length = match input.read(&mut chunk) {
                Ok(length) => length,
                Err(error) => {
                    // A damaged archive ends here; what follows it is still good.
                    self.troubles.push(format!("{}: {error}", path.display()));
                    0
                }
            };
            if length == 0 {
                self.decoder.finish(out);
                self.reading = None;
            } else {
                self.decoder.feed(&chunk[..length], out);
            }
            return Ok(true);
        }
        if let Some(next) = self.waiting.pop_front() {
            self.begin(&next);
            return Ok(true);
        }
        self.read_live(out)
    }

    fn begin(&mut self, file: &Rotated) {
        match file.open(&self.place) {
            Ok(input) => self.reading = Some((file.path.clone(), input)),
            Err(error) => self
                .troubles
                .push(format!("{}: {error}", file.path.display())),
        }
    }

    fn read_live(&mut self, out: &mut Vec<Piece>) -> io::Result<bool> {
        if self.live.as_ref().is_some_and(|live| live.is_fresh) && self.has_missed()? {
            return Ok(true);
        }
        let Some(live) = &mut self.live else {
            return Ok(false);
        };
        match live.read(out)? {
            Got::Some | Got::Unexpected => Ok(true),
            Got::Truncated(chunk) => {
                self.after_truncation(&chunk, out)?;
                Ok(true)
            }
            Got::Nothing => match std::fs::metadata(&self.place.path) {
                Ok(metadata) if place::id(&metadata) != live.id => self.after_rename(out),
                Ok(_) => Ok(false),
                // Renamed, and the runtime has not made a new one yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    /// Another file has taken the place of the live one.
    fn after_rename(&mut self, out: &mut Vec<Piece>) -> io::Result<bool> {
        // Opened first: what is rotated from now on is found from this one.
        let new = match Live::open(&self.place) {
            Ok(new) => new,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let (files, _) = before(&self.place, &new, &self.settled)?;
        let Some(mut old) = self.live.replace(new) else {
            return Ok(true);
        };
        old.retire();
        while old.read(out)? == Got::Some {}
        let place = files.iter().position(|file| file.id == old.id);
        let place = place.or_else(|| place_of(&files, &old.head));
        self.settled.add(&files);
        self.queue(files, place);
        self.late.push((old, Instant::now()));
        Ok(true)
    }

    /// The live file was copied and truncated. What it holds now is read only when nothing can be missing before it.
    fn after_truncation(&mut self, chunk: &[u8], out: &mut Vec<Piece>) -> io::Result<()> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        let (files, _) = before(&self.place, live, &self.settled)?;
        let copy = place_of(&files, &live.head);
        if let Some(place) = copy {
            let mut rest = files[place].clone();
            rest.skip = live.offset;
            // What was read while it happened is of before if it stands in the copy.
            if !chunk.is_empty() && begins_with(&self.place, &rest, chunk) {
                live.accept(chunk, out);
                rest.skip = live.offset;
            }
            self.counted.0 += self.decoder.readable;
            self.counted.1 += self.decoder.unreadable;
            // A line may have been left in its middle.
            self.decoder = std::mem::take(&mut live.decoder);
            live.rewind();
            self.begin(&rest);
        } else {
            live.decoder.finish(out);
            live.rewind();
            self.troubles.push(format!(
                "{}: truncated, and no copy of it is there: what was not read yet is lost",
                self.place.path.display()
            ));
        }
        self.settled.add(&files);
        self.queue(files, copy);
        Ok(())
    }

    /// Before the first read of what is in the live file: whether other logs were in it meanwhile, which have been
    /// copied away or renamed. They are queued.
    fn has_missed(&mut self) -> io::Result<bool> {
        let Some(live) = &mut self.live else {
            return Ok(false);
        };
        let (files, head) = before(&self.place, live, &self.settled)?;
        live.expect(head);
        let has_missed = !files.is_empty();
        self.settled.add(&files);
        self.waiting.extend(files);
        Ok(has_missed)
    }

    /// Queues what came after the file at `place`; where that is gone, what was logged after the last line that was read.
    fn queue(&mut self, files: Vec<Rotated>, place: Option<usize>) {
        let newest = self.newest;
        let is_after = |at: usize, file: &Rotated| match place {
            Some(place) => at > place,
            None => newest.is_none_or(|newest| time_of(&file.head).is_some_and(|at| at > newest)),
        };
        let missed = files.into_iter().enumerate();
        let missed = missed.filter(|(at, file)| is_after(*at, file));
        self.waiting.extend(missed.map(|(_, file)| file));
    }

    /// Looks at files that were renamed for what came late.
    fn read_late(&mut self, out: &mut Vec<Piece>) -> io::Result<()> {
        let mut kept = Vec::new();
        for (mut late, since) in std::mem::take(&mut self.late) {
            // A file that was renamed is not truncated any more.
            while late.read(out)? == Got::Some {}
            if since.elapsed() < LATE {
                kept.push((late, since));
            } else {
                late.decoder.finish(out);
                self.counted.0 += late.decoder.readable;
                self.counted.1 += late.decoder.unreadable;
            }
        }
        self.late = kept;
        Ok(())
    }

    /// Keeps what is wanted; whether nothing more will be.
    fn keep_wanted(&mut self, pieces: Vec<Piece>, out: &mut Vec<Piece>) -> bool {
        let Options { since, until, .. } = self.options;
        if let Some(last) = pieces.last() {
            self.newest = record::nanoseconds(&last.time).or(self.newest);
        }
        for piece in pieces {
            if !self.options.wants(piece.output) {
                continue;
            }
            let skip = &mut self.skip[piece.output.index()];
            if *skip > 0 {
                *skip -= u64::from(piece.ends);
                continue;
            }
            if (since.is_some() || until.is_some())
                && let Some(at) = record::nanoseconds(&piece.time)
            {
                if until.is_some_and(|until| at.saturating_sub(until) > DISORDER) {
                    return true;
                }
                if until.is_some_and(|until| at > until) || since.is_some_and(|since| at < since) {
                    continue;
                }
            }
            out.push(piece);
        }
        false
    }
}

/// Opens the live file. Right after it was renamed there is none until the runtime makes another.
fn open_in_time(place: &Place) -> io::Result<Live> {
    for _ in 0..ATTEMPTS {
        match Live::open(place) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !rotation::list(place).unwrap_or_default().is_empty() =>
            {
                std::thread::sleep(REOPENING);
            }
            other => return other,
        }
    }
    Live::open(place)
}

/// The rotated files that came after those that are settled and before what is in the live file, and the first line of
/// that.
fn before(place: &Place, live: &Live, settled: &Settled) -> io::Result<(Vec<Rotated>, Vec<u8>)> {
    let mut attempts = 0;
    loop {
        // Read first: what is copied or renamed from now on begins with this.
        let head = place::head(live.file())?;
        let mut files = rotation::list(place)?;
        attempts += 1;
        // Written to for the first time meanwhile: it may be one of them by now, and nothing tells which.
        if head.is_empty() && !place::head(live.file())?.is_empty() && attempts < ATTEMPTS {
            continue;
        }
        let place = files.iter().position(|file| file.id == live.id);
        if let Some(place) = place.or_else(|| place_of(&files, &head)) {
            files.truncate(place);
        }
        let settled = files.iter().rposition(|file| settled.has(file));
        files.drain(..settled.map_or(0, |place| place + 1));
        return Ok((files, head));
    }
}

/// The place of the file whose first line this is.
fn place_of(files: &[Rotated], head: &[u8]) -> Option<usize> {
    if head.is_empty() {
        return None;
    }
    // A line that was not whole yet may be by now.
    let is_part = !head.ends_with(b"\n");
    files
        .iter()
        .rposition(|file| file.head == head || (is_part && file.head.starts_with(head)))
}

/// The first lines of the last rotated files that were read, or need not be.
#[derive(Debug, Default)]
struct Settled(VecDeque<Vec<u8>>);

impl Settled {
    /// Files that are remembered. Those before them are older.
    const MOST: usize = 8;

    fn add(&mut self, files: &[Rotated]) {
        for file in &files[files.len().saturating_sub(Self::MOST)..] {
            self.0.push_back(file.head.clone());
            if self.0.len() > Self::MOST {
                self.0.pop_front();
            }
        }
    }

    fn has(&self, file: &Rotated) -> bool {
        self.0.contains(&file.head)
    }
}

/// Drops rotated files that are older than `since` as a whole: the next one begins before it.
fn skip_older(waiting: &mut Vec<Rotated>, live: &std::fs::File, since: i64) {
    let live = place::head(live).ok().and_then(|head| time_of(&head));
    let begins: Vec<Option<i64>> = waiting
        .iter()
        .skip(1)
        .map(|file| time_of(&file.head))
        .chain([live])
        .collect();
    let older = begins
        .iter()
        .take_while(|begins| begins.is_some_and(|begins| begins < since))
        .count();
    waiting.drain(..older.min(waiting.len()));
}

/// The time in the first line of a log.
fn time_of(head: &[u8]) -> Option<i64> {
    let line = head.strip_suffix(b"\n").unwrap_or(head);
    record::nanoseconds(&record::parse(line)?.time)
}

/// Whether a rotated file goes on with this chunk.
fn begins_with(log: &Place, file: &Rotated, chunk: &[u8]) -> bool {
    let Ok(mut input) = file.open(log) else {
        return false;
    };
    let mut found = vec![0; chunk.len()];
    input.read_exact(&mut found).is_ok() && found == chunk
}
