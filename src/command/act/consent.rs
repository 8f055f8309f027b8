//! Asking before the node is swept: on a terminal a question, in a script `--yes`.

use std::io::{self, IsTerminal};

use clap::Args;

use super::{Session, Verb};
use crate::error::Error;

/// The flag of commands that can sweep the node.
#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Do not ask before acting on many things at once
    #[arg(short, long)]
    pub yes: bool,
}

impl Session {
    /// Returns when it may be done to all of these: `--yes` was given, or somebody at the terminal says so.
    ///
    /// # Errors
    /// Nobody is there to be asked, or the answer is no.
    pub async fn consent(
        &self,
        consent: Consent,
        verb: &Verb,
        plan: &[String],
    ) -> Result<(), Error> {
        // crictl does not ask, and scripts rely on it.
        if consent.yes || plan.is_empty() || self.dialect.is_crictl() {
            return Ok(());
        }
        let many = if plan.len() == 1 { "" } else { "s" };
        let question = format!("{} {} {}{many}", verb.act, plan.len(), verb.object);
        let asks = io::stdin().is_terminal() && self.output.talks_to_terminal && !self.output.quiet;
        if !asks {
            return Err(
                Error::usage(format!("this would {question}; nothing was done"))
                    .hint("`--dry-run` lists them, `--yes` does it without asking"),
            );
        }
        for line in plan {
            self.output.status(format!("  {line}"));
        }
        self.output.prompt(format!("{question}? [y/N] "));
        match answer().await?.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Error::failure("nothing was done")),
        }
    }
}

/// A line from the terminal. It is read on a thread of its own, so that Ctrl-C works meanwhile.
async fn answer() -> Result<String, Error> {
    let read = || {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Error::failure("cannot read the answer").because(error)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
