//! Progress on anything longer than a second: one line on a terminal that names the step, gone when it is done.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use super::sanitize;

/// How long a step may last before it is worth a line.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// Waits for `work`; on a terminal, says what is being waited for once it lasts longer than a second. `step` is asked
/// again at every tick.
pub async fn during<T>(
    output: &Output,
    step: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    if !output.talks_to_terminal || output.quiet {
        return work.await;
    }
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.reset_elapsed();
    let done = loop {
        bar.set_message(sanitize::line(&step()).into_owned());
        bar.tick();
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(TICK) => {}
        }
    };
    bar.finish_and_clear();
    done
}
