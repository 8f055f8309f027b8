//! One file of systemd's journal, read for the entries of a few units.
//!
//! Follows the document "Journal File Format" (systemd.io/JOURNAL_FILE_FORMAT), regular and compact files alike. No hash
//! is computed: the table of fields is small enough to be walked, and a field leads to all its values, a value to all its
//! entries. A file is untrusted: every offset, size and chain is bounded. Messages of more than a few hundred bytes may be
//! compressed, and are then named and not read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What a file begins with.
const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// The flag of compact files: offsets have 32 bits.
const COMPACT: u32 = 1 << 4;
/// Flags of a file that a reader may meet: compressions, keyed hashes, compact.
const KNOWN: u32 = 0b1_1111;
/// Flags of an object that is compressed.
const COMPRESSED: u8 = 0b111;

const DATA: u8 = 1;
const FIELD: u8 = 2;
const ENTRY: u8 = 3;
const ARRAY: u8 = 6;

/// Bounds: of a chain of fields, of the values of one field, of a chain of arrays, of the fields of one entry.
const MOST_FIELDS: usize = 4096;
const MOST_VALUES: usize = 20_000;
const MOST_ARRAYS: usize = 64;
const MOST_ITEMS: usize = 256;
/// The most bytes of one object that are read.
const LONGEST: u64 = 64 << 10;

/// A line of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Microseconds since 1970.
    pub realtime: u64,
    /// The unit, with `.service`.
    pub unit: String,
    /// Whether systemd says it about the unit.
    pub by_systemd: bool,
    /// The message.
    pub message: String,
}

struct Journal<'f> {
    file: &'f File,
    length: u64,
    compact: bool,
}

/// Reads the last `most` entries of each unit; names are without `.service`.
///
/// # Errors
/// It cannot be read, or is no journal that is understood.
pub(super) fn read(file: &File, units: &[&str], most: usize) -> io::Result<Vec<Line>> {
    let length = file.metadata()?.len();
    let mut header = [0; 208];
    file.read_exact_at(&mut header, 0)
        .map_err(|_| odd("it is too short for a journal"))?;
    if &header[..8] != SIGNATURE {
        return Err(odd("it is no journal"));
    }
    let incompatible = u32::from_le_bytes(array(&header, 12));
    if incompatible & !KNOWN != 0 {
        return Err(odd("it is a journal of a newer kind"));
    }
    let journal = Journal {
        file,
        length,
        compact: incompatible & COMPACT != 0,
    };
    let table = u64::from_le_bytes(array(&header, 120));
    let size = u64::from_le_bytes(array(&header, 128)).min(1 << 20);
    let wanted: Vec<String> = units.iter().map(|unit| format!("{unit}.service")).collect();
    let mut lines = Vec::new();
    for (name, by_systemd) in [("_SYSTEMD_UNIT", false), ("UNIT", true)] {
        let Some(field) = journal.field(table, size, name)? else {
            continue;
        };
        for (unit, data) in journal.values(field, name, &wanted)? {
            for entry in journal.entries(data, most)? {
                if let Some((realtime, message)) = journal.message(entry)? {
                    lines.push(Line {
                        realtime,
                        unit: unit.clone(),
                        by_systemd,
                        message,
                    });
                }
            }
        }
    }
    Ok(lines)
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// So many bytes at a place, zeros beyond the end.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut found = [0; N];
    if let Some(part) = bytes.get(at..at + N) {
        found.copy_from_slice(part);
    }
    found
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// An object: its kind, its flags, and its first bytes, the header of 16 included.
struct Object {
    flags: u8,
    bytes: Vec<u8>,
}

impl Journal<'_> {
    /// The object at an offset, at most `LONGEST` bytes of it.
    fn object(&self, offset: u64, kind: u8) -> io::Result<Object> {
        if offset == 0 || !offset.is_multiple_of(8) || offset.saturating_add(16) > self.length {
            return Err(odd("an offset leads out of the file"));
        }
        let mut header = [0; 16];
        self.file.read_exact_at(&mut header, offset)?;
        if header[0] != kind {
            return Err(odd("an offset leads to another kind of object"));
        }
        let size = number(&header, 8)
            .clamp(16, LONGEST)
            .min(self.length - offset);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(16)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(Object {
            flags: header[1],
            bytes,
        })
    }

    /// The first value of a field, by walking the table of fields.
    fn field(&self, table: u64, size: u64, name: &str) -> io::Result<Option<u64>> {
        if table.saturating_add(size) > self.length {
            return Err(odd("the table of fields leads out of the file"));
        }
        let mut buckets = vec![0; usize::try_from(size).unwrap_or(0)];
        self.file.read_exact_at(&mut buckets, table)?;
        let mut walked = 0;
        for bucket in buckets.chunks_exact(16) {
            let mut offset = number(bucket, 0);
            while offset != 0 {
                walked += 1;
                if walked > MOST_FIELDS {
                    return Ok(None);
                }
                let object = self.object(offset, FIELD)?;
                if object.bytes.get(40..) == Some(name.as_bytes()) {
                    return Ok(Some(number(&object.bytes, 32)));
                }
                offset = number(&object.bytes, 24);
            }
        }
        Ok(None)
    }

    /// Of the values of a field those that are wanted, each with the offset of its object.
    fn values(&self, first: u64, name: &str, wanted: &[String]) -> io::Result<Vec<(String, u64)>> {
        let payload = if self.compact { 72 } else { 64 };
        let mut found = Vec::new();
        let mut offset = first;
        for _ in 0..MOST_VALUES {
            if offset == 0 {
                break;
            }
            let object = self.object(offset, DATA)?;
            let value = object
                .bytes
                .get(payload..)
                .and_then(|bytes| bytes.strip_prefix(name.as_bytes()))
                .and_then(|bytes| bytes.strip_prefix(b"="));
            if let Some(unit) = wanted.iter().find(|unit| value == Some(unit.as_bytes())) {
                found.push((unit.clone(), offset));
            }
            offset = number(&object.bytes, 32);
        }
        Ok(found)
    }

    /// The last entries that have a value.
    fn entries(&self, data: u64, most: usize) -> io::Result<Vec<u64>> {
        let object = self.object(data, DATA)?;
        let mut found = vec![number(&object.bytes, 40)];
        let mut next = number(&object.bytes, 48);
        let width = if self.compact { 4 } else { 8 };
        for _ in 0..MOST_ARRAYS {
            if next == 0 {
                break;
            }
            let (array, size, following) = self.entry_array(next)?;
            next = following;
            // Of a long array only the end matters: what is unused there is zero.
            let mut at = array;
            let end = array + size;
            let mut last: Vec<u64> = Vec::new();
            // Large arrays are read in pieces, the used part grows from the left.
            while at < end {
                let piece = (end - at).min(LONGEST);
                let mut bytes = vec![0; usize::try_from(piece).unwrap_or(0)];
                self.file.read_exact_at(&mut bytes, at)?;
                let offsets = bytes.chunks_exact(width).map(|item| {
                    if width == 4 {
                        u64::from(u32::from_le_bytes(self::array(item, 0)))
                    } else {
                        number(item, 0)
                    }
                });
                let used: Vec<u64> = offsets.take_while(|offset| *offset != 0).collect();
                let full = used.len() * width == bytes.len();
                last.extend(used);
                let surplus = last.len().saturating_sub(most);
                last.drain(..surplus);
                if !full {
                    break;
                }
                at += piece;
            }
            found.extend(last);
            let surplus = found.len().saturating_sub(most);
            found.drain(..surplus);
        }
        Ok(found)
    }

    /// Where the items of an array are, how many bytes they have, and the next array.
    fn entry_array(&self, offset: u64) -> io::Result<(u64, u64, u64)> {
        if !offset.is_multiple_of(8) || offset.saturating_add(24) > self.length {
            return Err(odd("an array leads out of the file"));
        }
        let mut header = [0; 24];
        self.file.read_exact_at(&mut header, offset)?;
        if header[0] != ARRAY {
            return Err(odd("an offset leads to another kind of object"));
        }
        let size = number(&header, 8)
            .saturating_sub(24)
            .min(self.length - offset - 24);
        Ok((offset + 24, size & !7, number(&header, 16)))
    }

    /// Time and message of an entry; none of one without message.
    fn message(&self, offset: u64) -> io::Result<Option<(u64, String)>> {
        let entry = self.object(offset, ENTRY)?;
        let realtime = number(&entry.bytes, 24);
        let (width, payload) = if self.compact { (4, 72) } else { (16, 64) };
        let items = entry.bytes.get(64..).unwrap_or_default();
        for item in items.chunks_exact(width).take(MOST_ITEMS) {
            let offset = if self.compact {
                u64::from(u32::from_le_bytes(array(item, 0)))
            } else {
                number(item, 0)
            };
            let data = self.object(offset, DATA)?;
            if data.flags & COMPRESSED != 0 {
                continue;
            }
            let bytes = data.bytes.get(payload..).unwrap_or_default();
            if let Some(message) = bytes.strip_prefix(b"MESSAGE=") {
                return Ok(Some((
                    realtime,
                    String::from_utf8_lossy(message).into_owned(),
                )));
            }
        }
        Ok(None)
    }
}
