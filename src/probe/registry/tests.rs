//! Probes against small scripted servers on loopback: one situation, one verdict.

mod content;
mod login;
mod plain;
mod secure;
mod support;
