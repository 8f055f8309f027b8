//! Progress on anything longer than a second: one line on a terminal's stderr that names the step, gone when it is done.

use std::future::Future;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use super::sanitize;
use crate::secret::cover::addresses;

/// How long a step may last before it is worth a line.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line moves.
pub const PACE: Duration = Duration::from_millis(120);

/// Waits for `work`; on a terminal, says what is being waited for once it lasts longer than a second. `step` is asked
/// again at every tick.
pub async fn during<T>(
    output: &Output,
    step: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    let progress = Progress::new(output);
    if !progress.is_visible() {
        return work.await;
    }
    tokio::pin!(work);
    let mut pause = PATIENCE;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(pause) => progress.show(&step()),
        }
        pause = PACE;
    }
}

/// The line, for whoever writes other lines meanwhile. Dropping it takes it away.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// A line that is not shown yet; it never will be where stderr is no terminal or talk is not wanted.
    pub fn new(output: &Output) -> Self {
        let target = if output.talks_to_terminal && !output.quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is a constant; without it indicatif would draw a bar.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            began: Instant::now(),
        }
    }

    /// Whether anybody can see it.
    pub fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Says what is going on, and for how long it has been.
    pub fn show(&self, step: &str) {
        let seconds = self.began.elapsed().as_secs();
        self.bar
            .set_message(format!("{} ({seconds}s)", sanitize::line(&addresses(step))));
        self.bar.tick();
    }

    /// Takes the line away for as long as something else is written.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
