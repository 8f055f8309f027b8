//! The laboratory: real throw-away containerd nodes and real registries on one machine, for tests, benches and
//! `make try`. `docs/lab.md` says what it needs and what it leaves alone.
//!
//! A lab is one directory below `/tmp/criscope-lab` and three processes:
//! - `lab up` fetches packages, builds images, writes the node's configuration, makes pods and then holds on;
//! - the keeper (`lab keeper`, a session of its own) owns the directory and clears everything away once `lab up` is
//!   gone, however it went;
//! - the node (`lab node`) is process 1 of a PID and mount namespace, in which containerd, its pods and the registries
//!   run. It ends when the keeper ends, and the kernel then ends everything below it and drops its mounts.

mod certs;
mod cli;
mod commands;
mod config;
mod control;
mod daemon;
mod document;
mod error;
mod faulty;
mod fetch;
mod generation;
mod http;
mod image;
mod keeper;
mod network;
mod node;
mod place;
mod pods;
mod processes;
mod pullable;
mod registry;
mod resolver;
mod speech;
mod tar;
mod up;
mod view;

use std::process::ExitCode;

use speech::tell;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("error: {error}"));
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                tell(&format!("  cause: {error}"));
                cause = error.source();
            }
            if let Some(hint) = error.hint() {
                tell(&format!("hint: {hint}"));
            }
            ExitCode::FAILURE
        }
    }
}
