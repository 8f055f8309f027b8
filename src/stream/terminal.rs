//! The user's terminal during a session: raw mode, its size, and the way back.
//!
//! Raw mode is left when [`Raw`] is dropped, which also happens when a signal ends the command, and by a hook when the
//! process panics; while the process is stopped (SIGTSTP) the terminal is as it was before, too. A process that is
//! killed (SIGKILL) cannot put anything back.

use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, Once, PoisonError};

use rustix::process::{self, Signal as Number};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Error;

/// What the terminal was before it was made raw; the panic hook cannot be handed anything.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The size of the terminal that is stdout or, where that is none, stdin.
pub fn size() -> Option<Size> {
    let (stdout, stdin) = (io::stdout(), io::stdin());
    let asked = [stdout.as_fd(), stdin.as_fd()];
    let found = asked
        .into_iter()
        .find_map(|fd| termios::tcgetwinsize(fd).ok())?;
    Some(Size {
        width: found.ws_col,
        height: found.ws_row,
    })
}

/// Tells whenever the size of the terminal changes.
///
/// # Errors
/// [`Error::Terminal`].
pub fn resizes() -> Result<Signal, Error> {
    signal(SignalKind::window_change()).map_err(Error::Terminal)
}

/// Waits for a signal that ends the process and that nobody else here waits for. Returns its number.
///
/// # Errors
/// [`Error::Terminal`].
pub async fn hung_up() -> Result<i32, Error> {
    let (mut hangup, mut quit) = (
        signal(SignalKind::hangup()).map_err(Error::Terminal)?,
        signal(SignalKind::quit()).map_err(Error::Terminal)?,
    );
    tokio::select! {
        _ = hangup.recv() => Ok(SignalKind::hangup().as_raw_value()),
        _ = quit.recv() => Ok(SignalKind::quit().as_raw_value()),
    }
}

/// The terminal at stdin in raw mode: every key goes to the container, none to this process.
#[derive(Debug)]
pub struct Raw {
    raw: Termios,
}

impl Raw {
    /// Makes it raw.
    ///
    /// # Errors
    /// [`Error::Terminal`]: stdin is no terminal.
    pub fn enter() -> Result<Self, Error> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                previous(panic);
            }));
        });
        let failed = |error| Error::Terminal(io::Error::from(error));
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // From here on it is put back, whatever happens.
        let entered = Self { raw };
        entered.set().map_err(Error::Terminal)?;
        Ok(entered)
    }

    fn set(&self) -> io::Result<()> {
        Ok(termios::tcsetattr(
            io::stdin(),
            OptionalActions::Now,
            &self.raw,
        )?)
    }

    /// Lets the process be stopped and continued: the terminal is the shell's while it is stopped, and raw again
    /// afterwards. Ends only with an error.
    ///
    /// # Errors
    /// [`Error::Terminal`].
    pub async fn keep(&self) -> Result<Infallible, Error> {
        let listen =
            |number: Number| signal(SignalKind::from_raw(number.as_raw())).map_err(Error::Terminal);
        let (mut stop, mut go_on) = (listen(Number::TSTP)?, listen(Number::CONT)?);
        let tell = |number| {
            process::kill_process(process::getpid(), number)
                .map_err(|error| Error::Terminal(error.into()))
        };
        loop {
            tokio::select! {
                _ = stop.recv() => {
                    if let Some(before) = &*BEFORE.lock().unwrap_or_else(PoisonError::into_inner) {
                        // A terminal that is gone stops nobody.
                        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
                    }
                    // What the signal would have done had we not listened for it.
                    tell(Number::STOP)?;
                }
                _ = go_on.recv() => {
                    self.set().map_err(Error::Terminal)?;
                    // The window may have another size by now; nobody tells a process that is stopped.
                    tell(Number::WINCH)?;
                }
            }
        }
    }
}

/// As [`Raw::keep`] where the terminal is raw; for ever where it is not.
///
/// # Errors
/// As [`Raw::keep`].
pub async fn keep(raw: Option<&Raw>) -> Result<Infallible, Error> {
    match raw {
        Some(raw) => raw.keep().await,
        None => std::future::pending().await,
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}
