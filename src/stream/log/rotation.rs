//! The files that rotation made of a log, and how to read them.
//!
//! The kubelet renames `0.log` to `0.log.20260102-030405` and later compresses it to `….gz` (through `….tmp`); Docker
//! counts: `-json.log.1` is newer than `-json.log.2`; logrotate does either, and `0.log-20260102`. Rotated files lie
//! beside the file that the path leads to, which is not always where the path lies: cri-dockerd's are links.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::place::{self, HEAD, Id, Place};

/// Rotated files that are looked at. Docker keeps as many as it is told to, the kubelet five.
const MOST_FILES: usize = 1000;

/// Names in the directory that are looked at.
const MOST_NAMES: usize = 100_000;

/// How often a directory is read again that changes while it is read.
const ATTEMPTS: usize = 50;

/// Zeros that are read at the beginning of an archive, in bytes: it may hold nothing else, and very much of it.
const MOST_ZEROS: usize = 64 << 20;

/// A rotated log that has something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Where it was when it was listed.
    pub path: PathBuf,
    /// The kernel's id of it then. Only good as long as the file is open somewhere: ids are used again.
    pub id: Id,
    /// Its first line, which has a time in it: what tells it from others for good.
    pub head: Vec<u8>,
    /// Bytes of the log that are not to be read again.
    pub skip: u64,
}

impl Rotated {
    /// Looks at a file. `None`: there is nothing in it, or it is gone.
    fn look(path: &Path) -> Option<Self> {
        let file = place::open_beside(path).ok()?;
        let id = place::id(&file.metadata().ok()?);
        // A damaged archive is still there, and its name tells it from others.
        let head = first_line_of(&mut Input::new(file, path))
            .unwrap_or_else(|_| path.as_os_str().as_encoded_bytes().to_vec());
        (!head.is_empty()).then(|| Self {
            path: path.to_owned(),
            id,
            head,
            skip: 0,
        })
    }

    /// Opens it, wherever it is by now: names are counted up, and files are compressed.
    ///
    /// # Errors
    /// It is gone, or cannot be read.
    pub fn open(&self, log: &Place) -> io::Result<Input> {
        let mut input = match self.open_at(&self.path)? {
            Some(input) => input,
            None => self.open_elsewhere(log)?,
        };
        input.skip(self.skip)?;
        Ok(input)
    }

    /// Opens it at a path, if it is there.
    fn open_at(&self, path: &Path) -> io::Result<Option<Input>> {
        let mut file = match place::open_beside(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if first_line_of(&mut Input::new(file.try_clone()?, path))? != self.head {
            return Ok(None);
        }
        file.rewind()?;
        Ok(Some(Input::new(file, path)))
    }

    fn open_elsewhere(&self, log: &Place) -> io::Result<Input> {
        for _ in 0..ATTEMPTS {
            let files = list(log)?;
            let Some(other) = files.iter().find(|other| other.head == self.head) else {
                break;
            };
            if let Some(input) = self.open_at(&other.path)? {
                return Ok(input);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

fn first_line_of(input: &mut Input) -> io::Result<Vec<u8>> {
    let decoder = match input {
        Input::Plain(file) => return place::head(file),
        Input::Compressed(decoder) => decoder,
    };
    let mut head = Vec::new();
    let mut passed = 0;
    loop {
        let read = decoder
            .by_ref()
            .take((HEAD - head.len()) as u64)
            .read_to_end(&mut head)?;
        let zeros = place::zeros(&head);
        head.drain(..zeros);
        passed += zeros;
        if read == 0 || zeros == 0 || passed > MOST_ZEROS {
            return Ok(place::first_line(head));
        }
    }
}

/// A rotated log that is being read.
#[derive(Debug)]
pub enum Input {
    /// As it was written; a hole in it is given as a chunk of zeros.
    Plain(File),
    /// Compressed; decompressed as it is read, so a bomb takes time and no memory.
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Input {
    fn new(file: File, path: &Path) -> Self {
        if path.extension().is_some_and(|end| end == "gz") {
            Input::Compressed(Box::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Input::Plain(file)
        }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Input::Plain(file) => file.seek(SeekFrom::Start(bytes)).map(|_| ()),
            Input::Compressed(_) => io::copy(&mut self.take(bytes), &mut io::sink()).map(|_| ()),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Plain(file) => {
                let length = file.read(buffer)?;
                if length > 0 && place::zeros(&buffer[..length]) == length {
                    let at = file.stream_position()?;
                    file.seek(SeekFrom::Start(place::data_from(file, at)?))?;
                }
                Ok(length)
            }
            Input::Compressed(decoder) => decoder.read(buffer),
        }
    }
}

/// The rotated logs beside a log, oldest first, at one moment: while names are counted up it is looked again.
///
/// # Errors
/// The directory cannot be read.
pub fn list(log: &Place) -> io::Result<Vec<Rotated>> {
    let mut before = list_once(log)?;
    for _ in 0..ATTEMPTS {
        let now = list_once(log)?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(before)
}

fn list_once(log: &Place) -> io::Result<Vec<Rotated>> {
    let real = log.real()?;
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else {
        return Ok(Vec::new());
    };
    let name = name.to_string_lossy();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)?.take(MOST_NAMES) {
        let entry = entry?;
        let other = entry.file_name();
        let Some(age) = other
            .to_str()
            .and_then(|other| Age::of(other.strip_prefix(&*name)?))
        else {
            continue;
        };
        found.push((age, entry.path()));
    }
    found.sort();
    let excess = found.len().saturating_sub(MOST_FILES);
    let mut files: Vec<Rotated> = found
        .iter()
        .skip(excess)
        .filter_map(|(_, path)| Rotated::look(path))
        .collect();
    // A file beside its compressed self: compression is not finished, or was just.
    files.dedup_by(|later, earlier| later.head == earlier.head);
    Ok(files)
}

/// The place of a rotated file among the others, by what stands behind the name of the log: dates count up, numbers
/// count down.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    number: Reverse<u64>,
    stem: String,
    is_compressed: bool,
}

impl Age {
    fn of(suffix: &str) -> Option<Self> {
        let suffix = suffix.strip_prefix(['.', '-'])?;
        let (stem, is_compressed) = match suffix.strip_suffix(".gz") {
            Some(stem) => (stem, true),
            None => (suffix, false),
        };
        let is_dated = stem.len() >= 8
            && stem
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-');
        let number = match stem.parse::<u64>() {
            Ok(number) if stem.len() <= 4 => number,
            // Behind no number: all of them are equally old, so that the date decides.
            _ if is_dated => 0,
            // `0.log.20260102-030405.tmp` and whatever else lies there.
            _ => return None,
        };
        Some(Age {
            number: Reverse(number),
            stem: stem.to_owned(),
            is_compressed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn log_in(directory: &tempfile::TempDir) -> Place {
        Place {
            path: directory.path().join("0.log"),
            links: place::Links::Beside,
        }
    }

    fn compress(path: &Path, content: &[u8]) {
        let file = File::create(path).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(content).unwrap();
        gz.finish().unwrap();
    }

    #[track_caller]
    fn order(names: &[&str], expected: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            let path = directory.path().join(name);
            match name.strip_suffix(".gz") {
                Some(stem) => compress(&path, stem.as_bytes()),
                None => std::fs::write(&path, name).unwrap(),
            }
        }
        let found: Vec<String> = list(&log_in(&directory))
            .unwrap()
            .into_iter()
            .map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn oldest_first_whoever_rotated() {
        let (one, two, three) = (
            "0.log.20260101-000000.gz",
            "0.log.20260102-000000.gz",
            "0.log.20260103-000000",
        );
        order(&["0.log", three, one, two, "1.log"], &[one, two, three]);
        order(
            &[
                "0.log",
                "0.log.1",
                "0.log.2.gz",
                "0.log.10.gz",
                "0.log.9.gz",
            ],
            &["0.log.10.gz", "0.log.9.gz", "0.log.2.gz", "0.log.1"],
        );
        order(
            &["0.log", "0.log-20260102", "0.log-20260101.gz"],
            &["0.log-20260101.gz", "0.log-20260102"],
        );
        order(
            &["0.log", "0.log.20260101-000000.tmp", "0.log.bak", "0.logs"],
            &[],
        );
        // Not removed yet after it was compressed.
        order(
            &["0.log", "0.log.20260101-000000", one],
            &["0.log.20260101-000000"],
        );
    }

    #[test]
    fn a_compressed_log_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let log = log_in(&directory);
        let path = directory.path().join("0.log.1.gz");
        compress(&path, b"0123456789");
        let text = |rotated: &Rotated| {
            let mut text = String::new();
            let mut input = rotated.open(&log).unwrap();
            input.read_to_string(&mut text).unwrap();
            text
        };
        let mut rotated = list(&log).unwrap().remove(0);
        assert_eq!(rotated.head, b"0123456789");
        rotated.skip = 4;
        assert_eq!(text(&rotated), "456789");
        // Listed before it was compressed.
        let listed = Rotated {
            path: directory.path().join("0.log.1"),
            skip: 8,
            ..rotated.clone()
        };
        assert_eq!(text(&listed), "89");
        // Listed before names were counted up.
        std::fs::rename(&path, directory.path().join("0.log.2.gz")).unwrap();
        assert_eq!(text(&rotated), "456789");
    }
}
