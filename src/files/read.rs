//! Reading what the user names. `-` is standard input.
//!
//! A size is no promise: `/dev/zero` has none, a pipe neither. So the bound counts what comes. A pipe may also never
//! say anything: whoever waits for one in the asynchronous runtime does so in a thread of its own, so that Ctrl-C is heard.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// How long a file may take. Standard input has no such limit: somebody may be typing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a file of at most `most` bytes.
///
/// Blocks: for what is read before there is an asynchronous runtime, and for regular files.
///
/// # Errors
/// What the file system says, or that there is more.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    whole(File::open(path)?, most)
}

/// Reads a text of at most `most` bytes, as [`bytes`] does.
///
/// # Errors
/// As [`bytes`], and that it is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    utf8(bytes(path, most)?)
}

/// Reads a text from a file, or from standard input for `-`. Blocks, for as long as somebody types.
///
/// # Errors
/// As [`text`].
pub fn given(path: &Path, most: u64) -> io::Result<String> {
    if path == Path::new("-") {
        utf8(whole(io::stdin(), most)?)
    } else {
        text(path, most)
    }
}

/// Reads a file, or standard input for `-`, in a thread of its own.
///
/// # Errors
/// As [`bytes`], and that nothing came for half a minute.
pub async fn bytes_aside(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let stdin = path == Path::new("-");
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        if stdin {
            whole(io::stdin(), most)
        } else {
            bytes(&owned, most)
        }
    });
    let read = if stdin {
        reading.await
    } else {
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("it said nothing for {} s", PATIENCE.as_secs()),
                ));
            }
        }
    };
    read.map_err(io::Error::other)?
}

/// Reads a text, as [`bytes_aside`] does.
///
/// # Errors
/// As [`bytes_aside`], and that it is not UTF-8.
pub async fn text_aside(path: &Path, most: u64) -> io::Result<String> {
    utf8(bytes_aside(path, most).await?)
}

/// All that comes, if it is not more than `most` bytes.
///
/// # Errors
/// What reading says, or that there is more.
pub fn whole(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {}", size(most)),
        ));
    }
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_size_is_bounded_all_the_same() {
        let error = bytes(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "more than 1 MiB");
        assert_eq!(bytes(Path::new("/dev/null"), 1).unwrap(), b"");
    }

    #[test]
    fn the_bound_itself_is_allowed() {
        assert_eq!(whole(&b"abc"[..], 3).unwrap(), b"abc");
        assert!(whole(&b"abcd"[..], 3).is_err());
    }
}
