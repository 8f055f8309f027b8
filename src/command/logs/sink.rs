//! Where lines go: stdout to stdout, stderr to stderr, on threads, so that a reader who is slow holds up no signal.

use std::fs::File as StdFile;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::lane::Line;
use crate::render::log_line::{LogLine, Surface};

/// How much is gathered before it is written, in bytes.
const MOST: usize = 64 << 10;

/// The two streams of this process, for lines of logs.
#[derive(Debug)]
pub struct Sink {
    files: [File; 2],
    surfaces: [Surface; 2],
    has_times: bool,
    /// Bytes that may still be written, if there is a limit.
    left: Option<u64>,
    gathered: Vec<u8>,
    /// The stream that it is for.
    stream: usize,
    /// Of each stream: whose line is not ended there.
    open: [Option<(usize, usize)>; 2],
}

impl Sink {
    /// The streams of this process; `limit` is the number of bytes that are written at most.
    ///
    /// # Errors
    /// They are closed.
    pub fn new(has_times: bool, limit: Option<u64>) -> io::Result<Self> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let file = |fd: &dyn AsFd| -> io::Result<File> {
            let owned = fd.as_fd().try_clone_to_owned()?;
            Ok(File::from_std(StdFile::from(owned)))
        };
        Ok(Self {
            files: [file(&stdout)?, file(&stderr)?],
            surfaces: [stdout.is_terminal(), stderr.is_terminal()].map(Surface::of_process),
            has_times,
            left: limit,
            gathered: Vec::new(),
            stream: 0,
            open: [None, None],
        })
    }

    /// Takes a line of the log at `place`. Whether more may follow.
    ///
    /// # Errors
    /// The stream is closed, or full.
    pub async fn take(
        &mut self,
        line: &Line,
        label: Option<&str>,
        place: usize,
    ) -> io::Result<bool> {
        let stream = line.output;
        if stream != self.stream {
            self.flush().await?;
            self.stream = stream;
        }
        let whose = (place, line.output);
        let mut begins = line.begins;
        if let Some(open) = self.open[stream]
            && open != whose
        {
            // Somebody else's line has not ended and perhaps never will.
            self.push(b"\n");
            begins = true;
        }
        // Its own was interrupted so.
        begins = begins || self.open[stream] != Some(whose) && !line.begins;
        let shown = LogLine {
            label: label.map(|label| (label, place)),
            time: self.has_times.then_some(&*line.time),
            content: &line.content,
            begins,
            ends: line.ends,
        };
        let mut bytes = Vec::new();
        self.surfaces[stream].write(&shown, &mut bytes);
        self.push(&bytes);
        self.open[stream] = (!line.ends).then_some(whose);
        let is_over = self.left == Some(0);
        if is_over || self.gathered.len() >= MOST {
            self.flush().await?;
        }
        Ok(!is_over)
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut length = bytes.len();
        if let Some(left) = &mut self.left {
            length = usize::try_from(*left).map_or(length, |left| length.min(left));
            *left -= length as u64;
        }
        self.gathered.extend_from_slice(&bytes[..length]);
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// The stream is closed, or full.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let file = &mut self.files[self.stream];
        file.write_all(&self.gathered).await?;
        file.flush().await?;
        self.gathered.clear();
        Ok(())
    }

    /// Whether nobody reads our stdout any more: known before something is written.
    pub fn is_abandoned(&self) -> bool {
        let stdout = io::stdout();
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let polled = rustix::event::poll(&mut descriptors, Some(&at_once));
        polled.is_ok() && descriptors[0].revents().contains(PollFlags::ERR)
    }
}
