//! What to do about a verdict: one plain sentence each, with the command to type where there is one.

use std::path::Path;

use crate::endpoint::discover::known;
use crate::endpoint::report::Process;

/// The commands that start what serves `path`.
pub fn start(path: &Path) -> String {
    let units = units(path);
    match units.split_first() {
        None => "start the runtime that is to listen there".to_owned(),
        Some((first, [])) => format!("start it with `systemctl start {first}`"),
        Some((first, others)) => {
            let others: Vec<String> = others.iter().map(|unit| format!("`{unit}`")).collect();
            format!(
                "start it with `systemctl start {first}` (or {})",
                others.join(", ")
            )
        }
    }
}

/// The unit to look at: the one the process runs in, or the one that is known for the path where the process is not.
pub fn unit(path: &Path, process: Option<&Process>) -> Option<String> {
    match process.filter(|process| process.exe.is_some()) {
        Some(process) => process
            .unit
            .clone()
            .filter(|unit| unit.ends_with(".service")),
        None => units(path).first().map(|unit| (*unit).to_owned()),
    }
}

/// How to see what a daemon does.
pub fn look_at(path: &Path, process: Option<&Process>) -> String {
    match unit(path, process) {
        Some(unit) => format!("look at `systemctl status {unit}` and `journalctl -u {unit}`"),
        None => match process.and_then(|process| process.pid) {
            Some(pid) => match process.and_then(|process| process.exe.as_deref()) {
                Some(exe) => format!("look at the log of process {pid} ({exe})"),
                None => format!("look at the log of process {pid}"),
            },
            None => "look at the daemon's log".to_owned(),
        },
    }
}

/// How to restart a daemon.
pub fn restart(path: &Path, process: Option<&Process>) -> String {
    match unit(path, process) {
        Some(unit) => format!("`systemctl restart {unit}`"),
        None => "restart the daemon".to_owned(),
    }
}

/// Nothing is at `path`.
pub fn absent(path: &Path) -> String {
    match known(path) {
        Some(known) if known.whose == "dockershim" => {
            "nothing to do: dockershim is no longer part of Kubernetes since 1.24".to_owned()
        }
        Some(known) => format!(
            "nothing to do, unless this node is to run {}; then {}",
            known.whose,
            start(path)
        ),
        None => "check the path for a typing error, or start the runtime that is to listen there"
            .to_owned(),
    }
}

/// The units known for a path; by the name of the socket where the path itself is unknown.
fn units(path: &Path) -> &'static [&'static str] {
    if let Some(known) = known(path) {
        return known.units;
    }
    match path.file_name().and_then(|name| name.to_str()) {
        Some("containerd.sock") => &["containerd.service"],
        Some("crio.sock") => &["crio.service"],
        Some("cri-dockerd.sock") => &["cri-docker.service"],
        Some("docker.sock") => &["docker.service"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_unit_that_serves_a_path() {
        let start = |path: &str| super::start(Path::new(path));
        assert_eq!(
            start("/var/run/cri-dockerd.sock"),
            "start it with `systemctl start cri-docker.service`"
        );
        assert_eq!(
            start("/srv/other/containerd.sock"),
            "start it with `systemctl start containerd.service`"
        );
        assert_eq!(
            start("/srv/mine.sock"),
            "start the runtime that is to listen there"
        );
        assert_eq!(
            start("/run/k0s/containerd.sock"),
            "start it with `systemctl start k0sworker.service` (or `k0scontroller.service`)"
        );
    }

    #[test]
    fn the_process_knows_its_unit_better() {
        let process = |unit: Option<&str>| Process {
            exe: Some("/usr/bin/k3s".to_owned()),
            unit: unit.map(str::to_owned),
            ..Process::default()
        };
        let unit = |path: &str, process: Option<&Process>| super::unit(Path::new(path), process);
        let path = "/run/containerd/containerd.sock";
        assert_eq!(
            unit(path, Some(&process(Some("k3s.service")))).as_deref(),
            Some("k3s.service")
        );
        assert_eq!(unit(path, Some(&process(Some("session-1.scope")))), None);
        assert_eq!(unit(path, Some(&process(None))), None);
        assert_eq!(
            unit(path, Some(&Process::default())).as_deref(),
            Some("containerd.service")
        );
        assert_eq!(unit(path, None).as_deref(), Some("containerd.service"));
        assert_eq!(unit("/srv/mine.sock", None), None);
    }
}
