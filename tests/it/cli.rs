//! The command line: help, misuse, exit codes, settings, streams.

use crate::support::{criscope, demo_node};

#[test]
fn help_has_examples_and_exit_codes() {
    let text = criscope(["--help"]).stdout();
    for word in [
        "Examples:",
        "Exit codes:",
        "endpoints",
        "pods",
        "ps",
        "images",
        "inspect",
    ] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
}

#[test]
fn misuse_is_2_and_names_the_way_out() {
    let outcome = criscope(["podz"]).outcome();
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("pods"), "{outcome}");
    assert_eq!(outcome.stdout, "");

    let outcome = criscope(["ps", "--label", "app"]).outcome();
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("key=value"), "{outcome}");

    let outcome = criscope(["-r", "tcp://10.0.0.1:1", "ps"]).outcome();
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("unix:///"), "{outcome}");
}

#[test]
fn a_runtime_that_is_not_there_is_3_and_says_why() {
    for command in [
        &["ps"][..],
        &["pods"],
        &["images"],
        &["version"],
        &["info"],
        &["imagefsinfo"],
        &["inspect", "x"],
        &[],
    ] {
        let outcome = criscope(command.iter())
            .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch/cri.sock")
            .outcome();
        assert_eq!(outcome.code, 3, "{command:?}: {outcome}");
        assert_eq!(outcome.stdout, "", "{command:?}");
        assert!(
            outcome.stderr.contains("/nosuch/cri.sock") && outcome.stderr.contains("hint:"),
            "{command:?}: {outcome}"
        );
    }
}

#[test]
fn an_object_that_is_not_there_is_1_and_does_not_hide_the_others() {
    let node = demo_node();
    let id = criscope(["ps", "-q", "-l"]).on(&node).stdout();
    let outcome = criscope(["inspect", "nosuch", id.trim()])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stderr.contains("nosuch"), "{outcome}");
    let found: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(1));

    let outcome = criscope(["inspecti", "nosuch:1"]).on(&node).outcome();
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("no such image \"nosuch:1\" present"),
        "{outcome}"
    );
}

#[test]
fn flags_may_stand_behind_what_they_belong_to() {
    let node = demo_node();
    let id = criscope(["ps", "-q", "-l"]).on(&node).stdout();
    let first = criscope(["inspect", "-o", "yaml", id.trim()])
        .on(&node)
        .stdout();
    let second = criscope(["inspect", id.trim(), "-o", "yaml"])
        .on(&node)
        .stdout();
    assert_eq!(first, second);
}

#[test]
fn a_node_in_eight_lines_and_three_commands() {
    let node = demo_node();
    let text = criscope::<&str>([]).on(&node).stdout();
    assert_eq!(text.lines().count(), 8 + 1 + 3, "{text}");
    assert!(text.contains("8 ready, 2 not ready"), "{text}");
    assert!(text.contains("criscope pods -s notready"), "{text}");
}

#[test]
fn the_demo_runs_without_anything() {
    let outcome = criscope(["demo"]).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(outcome.stderr.contains("made up"), "{outcome}");
    assert!(outcome.stdout.contains("$ criscope ps -a"), "{outcome}");
    // Its files are its own, with the mistake that everybody makes once; nothing of this machine is shown.
    assert!(outcome.stdout.contains("demo-node (made up)"), "{outcome}");
    assert!(
        outcome.stdout.contains("containerd-singular-table"),
        "{outcome}"
    );
    let refused = criscope(["demo", "test-pull", "nginx:1"]).outcome();
    assert_eq!(refused.code, 2, "{refused}");
    let elsewhere = criscope(["demo", "config", "--set", "timeout=10"]).outcome();
    assert_eq!(elsewhere.code, 2, "{elsewhere}");
    let pods = criscope(["demo", "pods", "-q"]).stdout();
    assert_eq!(pods.lines().count(), 10, "{pods}");
}

#[test]
fn completion_runs_nothing_that_a_name_says() {
    use criscope::fake::world::{Container, Image, Pod};
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("mark");
    let mut world = criscope::fake::World::empty("containerd", "1.7.28");
    let pod = world.add_pod(Pod::new("default", "web-1"));
    let image = "registry.example.com/web:1";
    world.add_image(Image::new(image, 1024));
    for name in [
        "web".to_owned(),
        format!("$(touch {})", mark.display()),
        format!("`touch {}`", mark.display()),
    ] {
        world.add_container(&pod, Container::new(&name, image));
        world.add_image(Image::new(&format!("registry.example.com/{name}"), 1024));
    }
    let node = criscope::fake::Node::builder()
        .world(world)
        .start()
        .unwrap();
    let links = directory.path();
    for name in ["criscope", "crictl"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_criscope"), links.join(name)).unwrap();
    }
    for (program, function, command) in [
        ("criscope", "_criscope_live", "inspect"),
        ("criscope", "_criscope_live", "pull"),
        ("crictl", "_crictl", "inspect"),
        ("crictl", "_crictl", "pull"),
    ] {
        let script = format!(
            "source <({program} completion bash); COMP_WORDS=({program} {command} ''); COMP_CWORD=2; \
             {function} {program} '' {command}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &script])
            .env("PATH", format!("{}:/usr/bin:/bin", links.display()))
            .env("CONTAINER_RUNTIME_ENDPOINT", node.endpoint())
            .output()
            .unwrap();
        let offered = String::from_utf8_lossy(&output.stdout);
        let expected = match (program, command) {
            (_, "pull") => image,
            ("criscope", _) => "web",
            _ => "",
        };
        assert!(
            offered.lines().any(|line| line.starts_with(expected)),
            "{program} {command}: {offered}"
        );
        assert!(!mark.exists(), "{program} {command} ran what a name says");
    }
}

#[test]
fn completion_knows_the_live_node() {
    let node = demo_node();
    let images = criscope(["complete", "images"]).on(&node).stdout();
    assert!(
        images
            .lines()
            .any(|line| line == "registry.k8s.io/pause:3.8"),
        "{images}"
    );
    let nobody = criscope(["complete", "pods"])
        .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch.sock")
        .outcome();
    assert_eq!((nobody.code, nobody.stdout.as_str()), (0, ""), "{nobody}");
    assert_eq!(nobody.stderr, "", "{nobody}");
}

/// The scripts are run by the shells that they are for; what zsh would offer is caught where it is handed over.
#[test]
fn every_shell_offers_what_the_endpoint_on_the_line_has() {
    let node = demo_node();
    let endpoint = node.endpoint();
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_criscope"),
        directory.path().join("criscope"),
    )
    .unwrap();
    let scripts = [
        (
            "bash",
            format!(
                "source <(criscope completion bash); COMP_WORDS=(criscope -r {endpoint} inspecti ''); COMP_CWORD=4; \
                 _criscope_live criscope '' inspecti; printf '%s\\n' \"${{COMPREPLY[@]}}\""
            ),
        ),
        (
            "zsh",
            format!(
                "autoload -Uz compinit; compinit -u -D; source <(criscope completion zsh); _criscope() {{ : }}; \
                 compadd() {{ print -l -- \"$@\" }}; words=(criscope -r {endpoint} inspecti ''); CURRENT=5; \
                 _criscope_live"
            ),
        ),
        (
            "fish",
            format!(
                "criscope completion fish | source; complete -C 'criscope -r {endpoint} inspecti '"
            ),
        ),
    ];
    for (shell, script) in scripts {
        let plain: &[&str] = match shell {
            "bash" => &["--norc"],
            "zsh" => &["-f"],
            _ => &["--no-config"],
        };
        let output = std::process::Command::new(shell)
            .args(plain)
            .args(["-c", &script])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", directory.path().display()),
            )
            .env("HOME", directory.path())
            .env("CONTAINER_RUNTIME_ENDPOINT", "unix:///nosuch.sock")
            .output();
        let output = match output {
            Ok(output) => output,
            // bash is everywhere; in CI the others are, too.
            Err(error) if shell != "bash" && std::env::var_os("CI").is_none() => {
                eprintln!("NOT TRIED: completion in {shell}, which is not installed: {error}");
                continue;
            }
            Err(error) => panic!("{shell} is needed for this test: {error}"),
        };
        let offered = String::from_utf8_lossy(&output.stdout);
        assert!(
            offered
                .lines()
                .any(|line| line == "registry.k8s.io/pause:3.8"),
            "{shell}: {offered}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
