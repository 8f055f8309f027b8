//! Wakes whoever waits for more of some logs: by inotify on their directories, and by the clock where that does not work
//! (a network file system, too many watches).

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tokio::task::JoinHandle;

/// Nothing may be missed for longer.
const POLL: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Where inotify does not work.
const POLL_ALONE: Duration = Duration::from_millis(200);

/// Watches the directories of logs.
#[derive(Debug)]
pub struct Watch {
    inotify: Option<Arc<OwnedFd>>,
    /// The thread that waits. One at a time, however often whoever waits gives up: it blocks.
    waiting: Option<JoinHandle<io::Result<()>>>,
}

impl Watch {
    /// Begins to watch the directories that the logs lie in, and those that they lead to. To be made before the logs are
    /// opened, so that nothing happens unseen in between.
    pub fn new<'p>(logs: impl IntoIterator<Item = &'p Path>) -> Self {
        Self {
            inotify: open(logs).ok().map(Arc::new),
            waiting: None,
        }
    }

    /// Resolves when something may have happened; at the latest after a second. May be cancelled.
    pub async fn changed(&mut self) {
        let Some(inotify) = &self.inotify else {
            return tokio::time::sleep(POLL_ALONE).await;
        };
        let waiting = self.waiting.get_or_insert_with(|| {
            let inotify = Arc::clone(inotify);
            // On a thread: tokio's own registration of such a descriptor is either deprecated or unsafe.
            tokio::task::spawn_blocking(move || wait(&inotify))
        });
        let woken = waiting.await;
        self.waiting = None;
        if !woken.is_ok_and(|woken| woken.is_ok()) {
            self.inotify = None;
        }
    }
}

fn open<'p>(logs: impl IntoIterator<Item = &'p Path>) -> io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let wanted =
        WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM;
    let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
    for log in logs {
        directories.extend(log.parent().map(Path::to_owned));
        let real = std::fs::canonicalize(log).ok();
        directories.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    for directory in directories {
        inotify::add_watch(&inotify, directory, wanted | WatchFlags::ONLYDIR)?;
    }
    Ok(inotify)
}

/// Blocks until something happens, or a second has passed.
fn wait(inotify: &OwnedFd) -> io::Result<()> {
    let mut descriptors = [PollFd::new(inotify, PollFlags::IN)];
    match poll(&mut descriptors, Some(&POLL)) {
        Err(rustix::io::Errno::INTR) => return Ok(()),
        other => other?,
    };
    // What happened is seen by looking at the files; here it is only taken off the queue.
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = Reader::new(inotify, &mut buffer);
    while events.next().is_ok() {}
    Ok(())
}
