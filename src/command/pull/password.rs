//! Asks for a password on the terminal, unseen. The terminal is restored however it ends.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::error::Error;
use crate::secret::Secret;

/// Asks for the password of a user.
///
/// # Errors
/// Nobody is at the terminal, or it cannot be read.
pub async fn ask(username: &str) -> Result<Secret, Error> {
    if !io::stdin().is_terminal() {
        return Err(
            Error::usage("stdin is no terminal, so nobody can be asked for a password")
                .hint("`--creds-stdin` reads USER:PASSWORD from stdin"),
        );
    }
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Error::failure("cannot read the password").because(error)
    };
    // Nothing can be done about a closed stderr; the question is for people.
    let _ = write!(io::stderr(), "Password of {username}: ");
    let silence = Silence::new().map_err(|error| failed(&error))?;
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    // On a thread of its own, so that Ctrl-C works and the terminal is restored meanwhile.
    let line = tokio::task::spawn_blocking(read).await;
    drop(silence);
    let _ = writeln!(io::stderr());
    match line {
        Ok(Ok(line)) => Ok(Secret::new(line.trim_end_matches(['\r', '\n']))),
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

/// The terminal does not show what is typed as long as this lives.
struct Silence(Termios);

impl Silence {
    fn new() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The terminal may be gone; then nobody sees it either.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
