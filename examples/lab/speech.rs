//! What the lab says. Nobody may be listening any more, and that must not stop what is being done.

use std::io::Write;

/// Writes a line to stdout: data.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .unwrap_or_default();
}

/// Writes a line to stderr: talk.
pub fn tell(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}
