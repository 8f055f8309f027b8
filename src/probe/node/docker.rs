//! What Docker has on the node and who uses it: its own files, mounts of running processes, scripts.
//!
//! No docker client and no API: it works when dockerd is gone, and on a disk. Of scripts only the lines that matter are
//! kept, of containers no environment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Depth;
use crate::facts::docker::{Docker, DockerContainer, MountUser, ScriptLine};
use crate::facts::files::without_secrets;
use crate::facts::{Fact, Source};
use crate::probe::host_files::{self, Modified, Reader};
use crate::probe::socket::host::{Host, text};
use crate::registry::tree::{Entry, Want};

/// No node has so many; what is beyond is not looked at.
const MOST_CONTAINERS: usize = 500;
const MOST_NAMESPACES: usize = 1000;
const MOST_SCRIPTS: usize = 400;
const LONGEST_SCRIPT: u64 = 128 << 10;
const LONGEST_CONFIG: u64 = 256 << 10;

/// Where scripts are that the system runs by itself, and where people put theirs.
const SCRIPTS: &[&str] = &[
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron",
    "/var/spool/cron/crontabs",
    "/etc/systemd/system",
    "/usr/local/bin",
    "/usr/local/sbin",
];

/// Looks at Docker below `root`; `files` is where the node's files are.
pub(super) fn look(root: &Path, files: &Path, live: bool, depth: Depth) -> Docker {
    let reader = Reader::open(files, None);
    let mut docker = Docker::default();
    if let Some(path) = data_root(files) {
        docker.data_root = path;
    }
    docker.containers = containers(&reader, files, &docker.data_root);
    docker.logins = logins(&reader, &["/root/.docker/config.json", "/root/.dockercfg"]);
    docker.kubelet_logins = logins(
        &reader,
        &[
            "/var/lib/kubelet/config.json",
            "/var/lib/kubelet/.docker/config.json",
            "/var/lib/kubelet/.dockercfg",
            "/.docker/config.json",
            "/.dockercfg",
        ],
    );
    if depth == Depth::Quick {
        docker.users = Fact::unknown("not looked at by a quick run");
        docker.scripts = Fact::unknown("not looked at by a quick run");
        return docker;
    }
    docker.users = if live {
        users(root)
    } else {
        Fact::absent("no system runs here")
    };
    docker.scripts = scripts(&reader, files);
    docker
}

/// `data-root` of daemon.json, `graph` before 17.05.
fn data_root(files: &Path) -> Option<String> {
    let bytes =
        host_files::read_bytes(files, Path::new("/etc/docker/daemon.json"), LONGEST_CONFIG).ok()?;
    let config: Value = serde_json::from_slice(&bytes).ok()?;
    let path = config.get("data-root").or_else(|| config.get("graph"))?;
    path.as_str()
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
}

fn names(reader: &Reader, path: &Path) -> Result<Option<Vec<String>>, String> {
    match reader.look(path, Want::Content, &mut Modified::new()) {
        Entry::Directory { names } => Ok(Some(names)),
        Entry::Unreadable { reason } => Err(format!("`{}`: {reason}", path.display())),
        _ => Ok(None),
    }
}

fn containers(reader: &Reader, files: &Path, data_root: &str) -> Fact<Vec<DockerContainer>> {
    let base = Path::new(data_root).join("containers");
    let ids = match names(reader, &base) {
        Ok(Some(ids)) => ids,
        Ok(None) => return Fact::absent(format!("there is no `{}`", base.display())),
        Err(reason) => return Fact::unknown(reason),
    };
    let json = |path: PathBuf| -> Option<Value> {
        serde_json::from_slice(&host_files::read_bytes(files, &path, LONGEST_CONFIG).ok()?).ok()
    };
    let found = ids.iter().take(MOST_CONTAINERS).filter_map(|id| {
        let config = json(base.join(id).join("config.v2.json"))?;
        let host = json(base.join(id).join("hostconfig.json")).unwrap_or_default();
        Some(container(&config, &host))
    });
    Fact::known(found.collect(), Source::file(base.display()))
}

/// What matters of config.v2.json and hostconfig.json.
fn container(config: &Value, host: &Value) -> DockerContainer {
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mounts = config
        .get("MountPoints")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|mounts| mounts.values())
        .filter_map(|mount| mount.get("Source")?.as_str().map(str::to_owned))
        .filter(|path| !path.is_empty())
        .take(100);
    DockerContainer {
        name: text(config, "/Name").trim_start_matches('/').to_owned(),
        running: config.pointer("/State/Running") == Some(&Value::Bool(true)),
        image: text(config, "/Config/Image"),
        restart: text(host, "/RestartPolicy/Name"),
        mounts: mounts.collect(),
    }
}

fn logins(reader: &Reader, paths: &[&str]) -> Fact<Vec<String>> {
    let mut found: Option<(Vec<String>, Source)> = None;
    for path in paths {
        match reader.look(Path::new(path), Want::Accounts, &mut Modified::new()) {
            Entry::Accounts { names } => {
                let (all, _) = found.get_or_insert_with(|| (Vec::new(), Source::file(path)));
                all.extend(names);
            }
            Entry::Unreadable { reason } => return Fact::unknown(format!("`{path}`: {reason}")),
            _ => {}
        }
    }
    match found {
        Some((mut names, source)) => {
            names.sort();
            names.dedup();
            Fact::known(names, source)
        }
        None => Fact::absent("there are no credentials"),
    }
}

/// What is looked for among mounts.
fn is_dockers(point: &str) -> bool {
    point.ends_with("/docker.sock")
        || point.ends_with("/dockershim.sock")
        || point.ends_with("/docker/containers")
}

/// The first process of every mount namespace but the host's, if something of Docker is mounted there.
fn users(root: &Path) -> Fact<Vec<MountUser>> {
    let host = Host::new(root);
    let namespace = |pid: u32| fs::read_link(host.of(pid, "ns/mnt"));
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    seen.extend(namespace(1).ok());
    seen.extend(fs::read_link("/proc/self/ns/mnt").ok());
    if seen.is_empty() {
        return Fact::unknown("mount namespaces cannot be told apart without root");
    }
    let mut found = Vec::new();
    let mut hidden = 0;
    for pid in host.pids() {
        if seen.len() > MOST_NAMESPACES {
            break;
        }
        let own = match namespace(pid) {
            Ok(own) => own,
            Err(error) => {
                // One that has ended, also if nobody asked for its end yet, has no mounts.
                hidden += usize::from(error.kind() == std::io::ErrorKind::PermissionDenied);
                continue;
            }
        };
        // What is stuck in the kernel is not asked.
        if !seen.insert(own) || host.stat(pid).is_none_or(|stat| stat.state == 'D') {
            continue;
        }
        let Some(mounts) = text(&host.of(pid, "mountinfo")) else {
            continue;
        };
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(3);
            let (Some(inside), Some(point)) = (words.next(), words.next()) else {
                continue;
            };
            if is_dockers(point) || is_dockers(inside) {
                found.push(MountUser {
                    pid,
                    comm: host.comm(pid).unwrap_or_default(),
                    container: text(&host.of(pid, "cgroup")).and_then(|text| container_id(&text)),
                    path: point.to_owned(),
                });
            }
        }
    }
    if hidden > 0 && found.is_empty() {
        return Fact::unknown(format!(
            "the mounts of {hidden} processes cannot be seen without root"
        ));
    }
    Fact::known(found, Source::proc("/proc/*/mountinfo"))
}

/// The 64 hexadecimal digits at the end of a control group's name.
fn container_id(cgroups: &str) -> Option<String> {
    cgroups.lines().find_map(|line| {
        let last = line.rsplit('/').next()?.trim_end_matches(".scope");
        let id = last.get(last.len().checked_sub(64)?..)?;
        id.bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| id.to_owned())
    })
}

fn scripts(reader: &Reader, files: &Path) -> Fact<Vec<ScriptLine>> {
    let mut found = Vec::new();
    let mut looked = 0;
    let mut paths = vec![PathBuf::from("/etc/crontab"), "/etc/rc.local".into()];
    for directory in SCRIPTS {
        match names(reader, Path::new(directory)) {
            Ok(names) => paths.extend(
                names
                    .into_iter()
                    .flatten()
                    .map(|name| Path::new(directory).join(name)),
            ),
            Err(reason) => return Fact::unknown(reason),
        }
    }
    for path in paths {
        looked += 1;
        if looked > MOST_SCRIPTS {
            break;
        }
        // Docker's own unit may call it.
        if path.to_string_lossy().contains("docker") {
            continue;
        }
        let Ok(bytes) = host_files::read_bytes(files, &path, LONGEST_SCRIPT) else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            if calls_docker(line) && found.len() < 100 {
                let line: String = line.trim().chars().take(200).collect();
                found.push(ScriptLine {
                    path: path.display().to_string(),
                    line: index + 1,
                    text: without_secrets(&line).into_owned(),
                });
                // One line of a file is enough to find it.
                break;
            }
        }
    }
    Fact::known(found, Source::file("/etc/cron.d"))
}

/// Whether a line calls the docker client.
fn calls_docker(line: &str) -> bool {
    const VERBS: &[&str] = &[
        "build", "compose", "cp", "exec", "image", "images", "info", "inspect", "kill", "load",
        "login", "logs", "network", "ps", "pull", "push", "restart", "rm", "rmi", "run", "save",
        "start", "stats", "stop", "system", "tag", "volume",
    ];
    let line = line.trim_start();
    if line.starts_with(['#', ';']) {
        return false;
    }
    let words: Vec<&str> = line
        .split(|c: char| {
            c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')' | '`' | '"' | '\'')
        })
        .filter(|word| !word.is_empty())
        .collect();
    words.windows(2).any(|pair| {
        let program = pair[0].rsplit(['/', '=', '-']).next().unwrap_or_default();
        program == "docker" && VERBS.contains(&pair[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_call_docker() {
        for line in [
            "0 3 * * * root docker system prune -f",
            "ExecStartPre=-/usr/bin/docker rm -f agent",
            "ids=$(docker ps -q)",
        ] {
            assert!(calls_docker(line), "{line}");
        }
        for line in [
            "# docker ps",
            "After=docker.service",
            "echo docker is gone",
            "ls /var/lib/docker",
        ] {
            assert!(!calls_docker(line), "{line}");
        }
    }

    #[test]
    fn containers_by_their_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "etc/docker/daemon.json",
            "{\"data-root\": \"/data/docker\"}",
        );
        write(
            "data/docker/containers/abc/config.v2.json",
            r#"{"Name":"/agent","State":{"Running":true},"Config":{"Image":"a:1","Env":["P=hunter2"]},"MountPoints":{"/x":{"Source":"/var/run/docker.sock"}}}"#,
        );
        write(
            "data/docker/containers/abc/hostconfig.json",
            r#"{"RestartPolicy":{"Name":"always"}}"#,
        );
        write("data/docker/containers/broken/config.v2.json", "{");
        write(
            "root/.docker/config.json",
            r#"{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}"#,
        );
        write(
            "etc/cron.d/clean",
            "@daily root docker system prune -f --token hunter2\n",
        );
        let docker = look(root.path(), root.path(), false, Depth::Normal);
        assert_eq!(docker.data_root, "/data/docker");
        assert_eq!(
            docker.containers.value().unwrap(),
            &[DockerContainer {
                name: "agent".into(),
                running: true,
                image: "a:1".into(),
                restart: "always".into(),
                mounts: vec!["/var/run/docker.sock".into()],
            }]
        );
        assert_eq!(docker.logins.value().unwrap(), &["r.example"]);
        assert!(matches!(docker.kubelet_logins, Fact::Absent { .. }));
        assert_eq!(docker.scripts.value().unwrap()[0].path, "/etc/cron.d/clean");
        let saved = serde_json::to_string(&docker).unwrap();
        assert!(!saved.contains("aHVudGVyMg"), "{saved}");
    }

    #[test]
    fn ids_in_control_groups() {
        let id = "a".repeat(64);
        for text in [
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n"),
            format!("4:memory:/kubepods/pod1/{id}\n"),
        ] {
            assert_eq!(container_id(&text), Some(id.clone()));
        }
        assert_eq!(container_id("0::/system.slice/ssh.service\n"), None);
    }
}
