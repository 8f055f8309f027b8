//! Logs that are written, rotated and read at the same time: every line once, in order.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Piece;
use super::place::{Links, Place};
use super::record::Output;
use super::source::{Options, Source, State};

/// A log with a writer, in a directory of its own.
struct Written {
    directory: tempfile::TempDir,
    file: File,
    lines: usize,
    rotations: usize,
}

impl Written {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = append(&directory.path().join("0.log"));
        Self {
            directory,
            file,
            lines: 0,
            rotations: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("0.log")
    }

    fn place(&self) -> Place {
        Place {
            path: self.path(),
            links: Links::Beside,
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("0.log.{suffix}"))
    }

    /// Writes numbered lines; every third is logged in two parts.
    fn write(&mut self, lines: usize) {
        for _ in 0..lines {
            let (at, number) = (time(self.lines), self.lines);
            let (front, last) = (number / 10, number % 10);
            let text = match number % 3 {
                0 => format!("{at} stdout P {front}\n{at} stdout F {last}\n"),
                _ => format!("{at} stdout F {front}{last}\n"),
            };
            self.file.write_all(text.as_bytes()).unwrap();
            self.lines += 1;
        }
    }

    /// What the kubelet does: renames, lets the runtime open a new file, compresses what was rotated before.
    fn rename(&mut self) {
        self.rotations += 1;
        let dated = |rotation: usize| self.beside(&format!("20260102-{rotation:06}"));
        std::fs::rename(self.path(), dated(self.rotations)).unwrap();
        let before = dated(self.rotations - 1);
        self.file = append(&self.path());
        if before.exists() {
            compress(&before);
        }
    }

    /// What logrotate does with `copytruncate`: shifts the numbers, copies, truncates.
    fn copy_and_truncate(&mut self) {
        for number in (1..=self.rotations).rev() {
            let (from, to) = (number.to_string(), (number + 1).to_string());
            std::fs::rename(self.beside(&from), self.beside(&to)).unwrap();
        }
        self.rotations += 1;
        std::fs::copy(self.path(), self.beside("1")).unwrap();
        self.file.set_len(0).unwrap();
    }
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(path).unwrap()
}

fn time(number: usize) -> String {
    format!("2026-01-02T03:04:05.{number:09}Z")
}

fn compress(path: &Path) {
    let with = |end: &str| PathBuf::from(format!("{}.{end}", path.display()));
    let file = File::create(with("tmp")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&std::fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    std::fs::rename(with("tmp"), with("gz")).unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Reads until there is nothing more for now.
fn drain(source: &mut Source) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while source.read(&mut pieces).unwrap() == State::More {}
    pieces
}

/// Whole lines, in the order in which they end.
fn lines(pieces: &[Piece]) -> Vec<String> {
    let (mut open, mut lines) = ([String::new(), String::new()], Vec::new());
    for piece in pieces {
        let line = &mut open[piece.output.index()];
        line.push_str(std::str::from_utf8(&piece.content).unwrap());
        if piece.ends {
            lines.push(std::mem::take(line));
        }
    }
    lines
}

#[track_caller]
fn assert_all(pieces: &[Piece], expected: std::ops::Range<usize>) {
    let found: Vec<usize> = lines(pieces)
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    let expected: Vec<usize> = expected.collect();
    let differs = |(found, expected): (&usize, &usize)| found != expected;
    let wrong = found.iter().zip(&expected).position(differs);
    let place = wrong.unwrap_or(found.len().min(expected.len()));
    assert!(
        found == expected,
        "{} lines instead of {}, wrong from place {place}: {:?} instead of {:?}",
        found.len(),
        expected.len(),
        &found[place..found.len().min(place + 5)],
        &expected[place..expected.len().min(place + 5)],
    );
}

#[test]
fn history_and_present_are_one_log() {
    let mut log = Written::new();
    for _ in 0..4 {
        log.write(100);
        log.rename();
    }
    log.write(7);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    assert_all(&drain(&mut source), 0..407);
    let current = Options {
        current_only: true,
        ..Options::default()
    };
    let mut source = Source::open(log.place(), current).unwrap();
    assert_all(&drain(&mut source), 400..407);
}

#[test]
fn rotations_that_nobody_saw_are_caught_up() {
    let mut log = Written::new();
    log.write(10);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    assert_all(&pieces, 0..10);
    log.write(5);
    for _ in 0..3 {
        log.rename();
        log.write(10);
    }
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..45);
    // The file that was read last is compressed by now, so it is another one to the kernel.
    for _ in 0..2 {
        log.rename();
        log.write(10);
    }
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..65);
}

#[test]
fn copies_that_nobody_saw_are_caught_up() {
    let mut log = Written::new();
    log.write(10);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    log.write(5);
    for _ in 0..3 {
        log.copy_and_truncate();
        log.write(20);
    }
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..75);
    // The file is longer again than it was read: only what stands there tells that it is another.
    log.copy_and_truncate();
    log.write(200);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..275);
    assert!(source.troubles.is_empty(), "{:?}", source.troubles);
}

#[test]
fn a_truncation_without_a_copy_is_told() {
    let mut log = Written::new();
    log.write(10);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    log.file.set_len(0).unwrap();
    log.write(10);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..20);
    assert!(source.troubles[0].contains("truncated"));
}

#[test]
fn what_a_runtime_flushes_late_is_not_lost() {
    let mut log = Written::new();
    log.write(3);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    let mut old = log.file.try_clone().unwrap();
    log.rename();
    log.write(1);
    pieces.extend(drain(&mut source));
    old.write_all(format!("{} stdout F 4\n", time(4)).as_bytes())
        .unwrap();
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..5);
}

#[test]
fn a_log_that_is_not_there_for_a_moment() {
    let mut log = Written::new();
    log.write(5);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    std::fs::rename(log.path(), log.beside("20260102-000001")).unwrap();
    log.write(5);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..10);
    log.file = append(&log.path());
    log.write(5);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..15);
}

/// Reads on a thread while `write` writes, and returns everything.
fn read_while(log: &mut Written, write: impl FnOnce(&mut Written)) -> Vec<Piece> {
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let mut pieces = Vec::new();
        loop {
            let is_last = is_done.load(Ordering::Acquire);
            pieces.extend(drain(&mut source));
            if is_last {
                assert!(source.troubles.is_empty(), "{:?}", source.troubles);
                return pieces;
            }
        }
    });
    write(log);
    done.store(true, Ordering::Release);
    reader.join().unwrap()
}

#[test]
fn a_numbered_stream_through_renames() {
    let mut log = Written::new();
    let pieces = read_while(&mut log, |log| {
        for _ in 0..60 {
            log.write(300);
            log.rename();
        }
        log.write(300);
    });
    assert_all(&pieces, 0..18_300);
}

#[test]
fn a_numbered_stream_through_copies() {
    let mut log = Written::new();
    let pieces = read_while(&mut log, |log| {
        for _ in 0..60 {
            log.write(300);
            log.copy_and_truncate();
        }
        log.write(300);
    });
    assert_all(&pieces, 0..18_300);
}

/// A log of both outputs in parts of lines, over several files, and its lines in the order of their ends.
fn mixed(seed: u64) -> (Written, Vec<(Output, String)>) {
    let mut log = Written::new();
    let (mut state, mut open, mut whole) = (seed, [String::new(), String::new()], Vec::new());
    let mut random = |below: u64| {
        // xorshift: the same in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for number in 0..400 {
        let (output, name) = match random(3) {
            0 => (Output::Stderr, "stderr"),
            _ => (Output::Stdout, "stdout"),
        };
        let is_partial = random(4) == 0;
        let tag = if is_partial { "P" } else { "F" };
        let text = format!("{} {name} {tag} [{number}]\n", time(number));
        log.file.write_all(text.as_bytes()).unwrap();
        let line = &mut open[output.index()];
        line.push_str(&format!("[{number}]"));
        if !is_partial {
            whole.push((output, std::mem::take(line)));
        }
        if random(60) == 0 {
            log.rename();
        }
    }
    for (output, line) in [Output::Stdout, Output::Stderr].into_iter().zip(open) {
        if !line.is_empty() {
            whole.push((output, line));
        }
    }
    (log, whole)
}

/// Lines, and behind them those that have not ended.
fn lines_and_open(pieces: &[Piece]) -> Vec<String> {
    let mut found = lines(pieces);
    for output in [Output::Stdout, Output::Stderr] {
        let of_output = pieces.iter().filter(|piece| piece.output == output);
        let mut open = String::new();
        for piece in of_output {
            if piece.ends {
                open.clear();
            } else {
                open.push_str(std::str::from_utf8(&piece.content).unwrap());
            }
        }
        if !open.is_empty() {
            found.push(open);
        }
    }
    found
}

#[test]
fn the_last_lines_are_the_last_lines() {
    for seed in 1..20 {
        let (log, whole) = mixed(seed);
        for output in [None, Some(Output::Stdout), Some(Output::Stderr)] {
            let wanted: Vec<&String> = whole
                .iter()
                .filter(|(of, _)| output.is_none_or(|wanted| wanted == *of))
                .map(|(_, line)| line)
                .collect();
            for tail in [0, 1, 2, 7, 50, 10_000] {
                let options = Options {
                    tail: Some(tail),
                    output,
                    ..Options::default()
                };
                let mut source = Source::open(log.place(), options).unwrap();
                let mut pieces = drain(&mut source);
                source.finish(&mut pieces);
                let found = lines_and_open(&pieces);
                let expected = &wanted[wanted.len().saturating_sub(tail)..];
                assert_eq!(
                    found.iter().collect::<Vec<_>>(),
                    expected,
                    "seed {seed}, {output:?}, tail {tail}"
                );
            }
        }
    }
}

#[test]
fn a_tail_goes_on_through_a_rotation() {
    let mut log = Written::new();
    log.write(100);
    let options = Options {
        tail: Some(5),
        ..Options::default()
    };
    let mut source = Source::open(log.place(), options).unwrap();
    let mut pieces = drain(&mut source);
    log.copy_and_truncate();
    log.write(10);
    pieces.extend(drain(&mut source));
    log.write(10);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 95..120);
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole() {
    let mut log = Written::new();
    log.write(100);
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    let mut pieces = drain(&mut source);
    // Its place in the file is kept over the truncation, as that of a shell's `>` is. A terabyte further, so that it
    // cannot be read through.
    let place = 1 << 40;
    log.copy_and_truncate();
    let mut hole = OpenOptions::new().write(true).open(log.path()).unwrap();
    hole.seek(SeekFrom::Start(place)).unwrap();
    log.file = hole;
    log.write(100);
    pieces.extend(drain(&mut source));
    assert_all(&pieces, 0..200);
    // Whoever comes later reads the same, from both ends.
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    assert_all(&drain(&mut source), 0..200);
    for (lines, first) in [(5, 195), (150, 50)] {
        let options = Options {
            tail: Some(lines),
            ..Options::default()
        };
        let mut source = Source::open(log.place(), options).unwrap();
        assert_all(&drain(&mut source), first..200);
    }
    assert!(source.troubles.is_empty(), "{:?}", source.troubles);
}

#[test]
fn between_two_files_there_is_none() {
    let mut log = Written::new();
    log.write(10);
    std::fs::rename(log.path(), log.beside("20260102-000001")).unwrap();
    let place = log.place();
    let opening = std::thread::spawn(move || Source::open(place, Options::default()));
    log.file = append(&log.path());
    log.write(10);
    let mut source = opening.join().unwrap().unwrap();
    assert_all(&drain(&mut source), 0..20);
}

#[test]
fn a_span_of_time() {
    let mut log = Written::new();
    for _ in 0..4 {
        log.write(100);
        log.rename();
    }
    let at = |number: usize| super::record::nanoseconds(&time(number));
    let options = Options {
        since: at(150),
        until: at(320),
        ..Options::default()
    };
    let mut source = Source::open(log.place(), options).unwrap();
    assert_all(&drain(&mut source), 150..321);
}

#[test]
fn a_damaged_archive_does_not_hide_the_rest() {
    let mut log = Written::new();
    for _ in 0..2 {
        log.write(10);
        log.rename();
    }
    log.write(10);
    std::fs::write(
        log.beside("20260102-000001.gz"),
        b"\x1f\x8b\x08 broken, and not short",
    )
    .unwrap();
    let mut source = Source::open(log.place(), Options::default()).unwrap();
    assert_all(&drain(&mut source), 10..30);
    assert!(source.troubles[0].contains("20260102-000001.gz"));
}
