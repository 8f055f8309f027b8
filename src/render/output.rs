//! Where words go: data to stdout, talk to stderr. A closed pipe is not an error. Talk quotes what was typed and what is in
//! files, so passwords in addresses are covered in it.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use super::guard::{Guard, Passing};
use super::{human, sanitize};
use crate::error::Error;
use crate::interrupt;
use crate::secret::cover::addresses;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// The two streams of the process and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Whether stdout is a terminal: then it is looked at, and may be redrawn.
    pub terminal: bool,
    /// Whether stderr is a terminal: then progress may be shown.
    pub talks_to_terminal: bool,
    /// Whether talk that is not an error is left out.
    pub quiet: bool,
    /// How talk is written.
    pub manner: Manner,
}

/// How talk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// For people: what went wrong, why, and what to do.
    #[default]
    Plain,
    /// As crictl writes it, with logrus: one line each, and nothing at all where crictl says nothing.
    Logrus,
}

impl Output {
    /// The streams of this process.
    pub fn of_process(quiet: bool) -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            talks_to_terminal: io::stderr().is_terminal(),
            quiet,
            manner: Manner::Plain,
        }
    }

    /// Writes data. A terminal gets no control characters.
    ///
    /// # Errors
    /// Whatever stdout says; [`io::ErrorKind::BrokenPipe`] means that nobody reads any more.
    pub fn data(&self, bytes: &[u8]) -> io::Result<()> {
        self.passing(bytes, Passing::Text)
    }

    /// Writes a report, which has colours where they are wanted, and in which everything from outside was escaped when
    /// it was laid out.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn report(&self, bytes: &[u8]) -> io::Result<()> {
        self.passing(bytes, Passing::Colours)
    }

    fn passing(&self, bytes: &[u8], passing: Passing) -> io::Result<()> {
        let mut stdout = Guard::new(io::stdout().lock(), self.terminal, passing);
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes what a command in a container wrote to its stdout, as it is.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn as_it_is(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        interrupt::deaf(|| {
            stdout.write_all(bytes)?;
            stdout.flush()
        })
    }

    /// Stdout, for data that is written piece by piece. The pieces should be large.
    pub fn stdout(&self) -> impl Write + use<> {
        Guard::new(io::stdout().lock(), self.terminal, Passing::Text)
    }

    /// Stderr, for what is told line by line by others than us.
    pub fn stderr(&self) -> impl Write + use<> {
        Guard::new(io::stderr(), self.talks_to_terminal, Passing::Colours)
    }

    /// Writes what a command in a container wrote to its stderr, as it is.
    pub fn raw(&self, bytes: &[u8]) {
        let _ = io::stderr().lock().write_all(bytes);
    }

    /// Tells something as a line of its own, without a label.
    pub fn bare(&self, text: &str) {
        self.talk(&format!("{}\n", sanitize::block(text)));
    }

    /// Redraws a terminal: clears it and writes from the top. On anything else the data simply follows.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn redraw(&self, bytes: &[u8]) -> io::Result<()> {
        self.clear()?;
        self.data(bytes)
    }

    /// Clears a terminal. What was there before stays in the scrollback.
    ///
    /// # Errors
    /// As [`Output::data`].
    pub fn clear(&self) -> io::Result<()> {
        match self.terminal {
            true => self.as_it_is(b"\x1b[H\x1b[2J"),
            false => Ok(()),
        }
    }

    /// Tells what is going on. crictl tells nothing of the kind.
    pub fn status(&self, text: impl fmt::Display) {
        if !self.quiet && self.manner == Manner::Plain {
            self.talk(&format!("{}\n", sanitize::block(&text.to_string())));
        }
    }

    /// Tells what came of it where that is no data; crictl tells that too.
    pub fn outcome(&self, text: impl fmt::Display) {
        match self.manner {
            Manner::Plain => self.status(text),
            Manner::Logrus if self.quiet => {}
            Manner::Logrus => self.log(Level::Info, &text.to_string()),
        }
    }

    /// Asks; the answer follows on the same line.
    pub fn prompt(&self, text: impl fmt::Display) {
        self.talk(&sanitize::block(&text.to_string()));
    }

    /// Tells what the user should know but did not ask for.
    pub fn warning(&self, text: impl fmt::Display) {
        match self.manner {
            _ if self.quiet => {}
            Manner::Plain => self.labelled("warning", WARNING, &text.to_string()),
            Manner::Logrus => self.log(Level::Warning, &text.to_string()),
        }
    }

    /// Tells what can be done.
    pub fn hint(&self, text: impl fmt::Display) {
        match self.manner {
            Manner::Plain => self.labelled("hint", HINT, &text.to_string()),
            Manner::Logrus => self.log(Level::Info, &text.to_string()),
        }
    }

    /// Tells what went wrong, why, and what can be done.
    pub fn error(&self, error: &Error) {
        if self.manner == Manner::Logrus {
            return self.log_error(error);
        }
        self.labelled("error", ERROR, error.message());
        for cause in error.causes() {
            self.talk(&format!("  cause: {}\n", sanitize::block(cause)));
        }
        for candidate in error.candidates() {
            self.talk(&format!("  {}\n", sanitize::line(candidate)));
        }
        for hint in error.hints() {
            self.labelled("hint", HINT, hint);
        }
    }

    fn labelled(&self, label: &str, style: Style, text: &str) {
        self.talk(&format!(
            "{style}{label}:{style:#} {}\n",
            sanitize::block(text)
        ));
    }

    /// One line with everything in it; what may have been meant and what to do are lines of their own, the latter for
    /// people only.
    fn log_error(&self, error: &Error) {
        self.log(Level::Error, &error.in_one_line());
        for candidate in error.candidates() {
            self.log(Level::Info, candidate);
        }
        if self.talks_to_terminal {
            for hint in error.hints() {
                self.log(Level::Info, hint);
            }
        }
    }

    fn log(&self, level: Level, text: &str) {
        let line = if self.talks_to_terminal {
            let (label, style) = match level {
                Level::Error => ("ERRO", ERROR),
                Level::Warning => ("WARN", WARNING),
                Level::Info => ("INFO", HINT),
            };
            format!("{style}{label}{style:#}[0000] {}\n", sanitize::block(text))
        } else {
            let level = match level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Info => "info",
            };
            let now = jiff::Timestamp::now().as_second();
            let time = human::rfc3339(now.saturating_mul(1_000_000_000));
            // Debug quotes as Go's %q does, control characters included.
            format!("time=\"{time}\" level={level} msg={text:?}\n")
        };
        self.talk(&line);
    }

    /// Colours are taken out where they would disturb: no terminal, NO_COLOR, TERM=dumb.
    fn talk(&self, text: &str) {
        // Talk quotes what was typed and what is in files: passwords in addresses stay there.
        let text = addresses(text);
        // Nobody is left to be told that stderr is closed.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }
}

/// How grave a line of the log is.
#[derive(Debug, Clone, Copy)]
enum Level {
    Error,
    Warning,
    Info,
}
