//! Tests of the binary: one module per command, against the fake node or, where only the real thing proves anything,
//! against real runtimes of the lab.
//!
//! Real runtimes need root and Debian's packages. Where they cannot be had the tests fail and say so; only
//! `CRISCOPE_TEST_REAL=off` leaves them out, which is refused when `CI=true`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

mod act_real;
mod attach;
mod canary;
mod captures;
mod check;
mod cli;
mod compare;
mod config;
mod crictl;
mod crictl_words;
mod doctor;
mod doctor_files;
mod doctor_node;
mod doctor_real;
mod doctor_trees;
mod endpoints;
mod ends;
mod events;
mod exec;
mod faults;
mod fuzz;
mod house;
mod lab;
mod lists;
mod logins;
mod logs;
mod port_forward;
mod preflight;
mod proto;
mod pull;
mod pulls;
mod real;
mod registry_convert;
mod registry_lint;
mod registry_probe;
mod registry_route;
mod retry;
mod rm;
mod rmi;
mod rmp;
mod rpcs;
mod run;
mod schema;
mod secrets;
mod stats;
mod stop;
mod test_pull;
mod tracing;
mod update;
mod validators;
mod whereabouts;
mod why;
