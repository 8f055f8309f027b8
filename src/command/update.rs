//! `criscope update`: other limits for running containers. One UpdateContainerResources each.
//!
//! Only what is given is changed; 0 means "not given" to a runtime. The kubelet sets limits again when the pod's
//! specification changes.

use clap::Args;

use super::act::{Rehearsal, Subject, Verb};
use super::args::pair;
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope update --memory 256Mi default/web-1/web
  criscope update --cpu-quota 50000 --cpu-period 100000 5f2a 77b0";

const VERB: Verb = Verb {
    act: "update",
    acting: "updating",
    object: "container",
};

/// Arguments of `update`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Update {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    /// Say this to the runtime about the update; repeatable
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    annotations: Vec<(String, String)>,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// What can be changed; at least one of it.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Length of a scheduling period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<i64>,
    /// CPU time in each period, in microseconds; negative is no limit
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Weight against others; 1024 is one CPU asked for
    #[arg(long, visible_alias = "cpu-shares", value_name = "WEIGHT")]
    cpu_share: Option<i64>,
    /// Most memory, in bytes or as 256Mi; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    memory: Option<i64>,
    /// Most memory and swap together, in bytes or as 256Mi; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = bytes)]
    memory_swap: Option<i64>,
    /// CPUs to run on, as 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use, as 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// From -1000, never killed, to 1000, killed first
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    oom_score_adj: Option<i64>,
    /// A file of cgroup v2 and what is written into it; repeatable
    #[arg(long, value_name = "FILE=VALUE", value_parser = pair)]
    unified: Vec<(String, String)>,
    /// Number of CPUs (Windows)
    #[arg(long, value_name = "N")]
    cpu_count: Option<i64>,
    /// Share of CPU time, in percent times 100 (Windows)
    #[arg(long, value_name = "N")]
    cpu_maximum: Option<i64>,
}

/// Bytes, plain or with a unit as Kubernetes writes it; -1 is what cgroups take for no limit.
fn bytes(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1));
    number
        .parse::<i64>()
        .ok()
        .filter(|number| *number >= 0 || text == "-1")
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("`{text}` is no size; write it as 268435456 or 256Mi"))
}

/// Runs `criscope update`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Update, session: &Session) -> Result<Exit, Error> {
    // crictl lets it pass and reports success.
    if session.dialect == Dialect::Own
        && let Some(flag) = args.limits.zero()
    {
        return Err(Error::usage(format!("`{flag} 0` would change nothing"))
            .hint("to a runtime, 0 means that the value is not given"));
    }
    let client = session.client_that_acts().await?;
    let containers =
        session.or_as_typed(find::containers(client, &args.containers, Prefer::Running).await?);
    let deadline = Some(session.act_deadline());
    session
        .act(
            &VERB,
            args.rehearsal,
            containers,
            |container| {
                vec![format!(
                    "would update container {}",
                    container.description()
                )]
            },
            async |container, lines| {
                let request = cri::UpdateContainerResourcesRequest {
                    container_id: container.id.clone(),
                    linux: Some(args.limits.linux()),
                    windows: args.limits.windows(),
                    annotations: args.annotations.iter().cloned().collect(),
                };
                client.update_container_resources(request, deadline).await?;
                lines.push(container.id.clone());
                Ok(())
            },
        )
        .await
}

impl Limits {
    /// A flag that was given with zero.
    fn zero(&self) -> Option<&'static str> {
        [
            (self.cpu_period, "--cpu-period"),
            (self.cpu_quota, "--cpu-quota"),
            (self.cpu_share, "--cpu-share"),
            (self.memory, "--memory"),
            (self.memory_swap, "--memory-swap"),
            (self.oom_score_adj, "--oom-score-adj"),
            (self.cpu_count, "--cpu-count"),
            (self.cpu_maximum, "--cpu-maximum"),
        ]
        .into_iter()
        .find_map(|(value, flag)| (value == Some(0)).then_some(flag))
    }

    fn linux(&self) -> cri::LinuxContainerResources {
        cri::LinuxContainerResources {
            cpu_period: self.cpu_period.unwrap_or(0),
            cpu_quota: self.cpu_quota.unwrap_or(0),
            cpu_shares: self.cpu_share.unwrap_or(0),
            memory_limit_in_bytes: self.memory.unwrap_or(0),
            memory_swap_limit_in_bytes: self.memory_swap.unwrap_or(0),
            oom_score_adj: self.oom_score_adj.unwrap_or(0),
            cpuset_cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.clone().unwrap_or_default(),
            unified: self.unified.iter().cloned().collect(),
            ..Default::default()
        }
    }

    fn windows(&self) -> Option<cri::WindowsContainerResources> {
        if self.cpu_count.is_none() && self.cpu_maximum.is_none() {
            return None;
        }
        Some(cri::WindowsContainerResources {
            cpu_count: self.cpu_count.unwrap_or(0),
            cpu_maximum: self.cpu_maximum.unwrap_or(0),
            ..Default::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        #[track_caller]
        fn case(text: &str, expected: Option<i64>) {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        case("268435456", Some(268_435_456));
        case("256Mi", Some(268_435_456));
        case("1G", Some(1_000_000_000));
        case("0", Some(0));
        case("-1", Some(-1));
        case("-2", None);
        case("-1Mi", None);
        case("Mi", None);
        case("1.5Gi", None);
        case("9000000Ti", None);
    }
}
