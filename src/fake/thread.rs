//! A thread with a current-thread runtime that serves until its owner goes.

use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::Error;

/// A serving thread; dropping it ends everything that runs on it and waits for that.
pub(super) struct Thread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Runs `serve` until it ends or the result is dropped.
    pub(super) fn start<F>(
        name: &str,
        serve: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, Error>
    where
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        // The owner is gone.
                        _ = stopped => {}
                        () = serve() => {}
                    }
                });
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the fake has shown itself on stderr.
            let _ = thread.join();
        }
    }
}
