//! `config`: the file that crictl shares with us, read and changed under both names.

use crate::support::criscope;
use crate::support::stand_in::{crictl, expect};

#[test]
fn config_edits_the_file_as_crictl_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crictl.yaml");
    let text = || std::fs::read_to_string(&path).unwrap();
    let config =
        |arguments: &str| crictl(&format!("--config {} config {arguments}", path.display()));
    std::fs::write(&path, "").unwrap();
    let list = config("--list").stdout();
    for line in [
        "runtime-endpoint       \n",
        "timeout                0\n",
        "debug                  false\n",
        "max-retries            0\n",
    ] {
        assert!(list.contains(line), "{line:?} is missing:\n{list}");
    }
    expect(
        &config("--set runtime-endpoint=foo,timeout=10").outcome(),
        0,
        "",
        "",
    );
    expect(&config("--get timeout").outcome(), 0, "10\n", "");
    std::fs::write(&path, "\ntimeout: 20 # c\n\ntimeout: 5\n").unwrap();
    expect(&config("--get timeout").outcome(), 0, "5\n", "");
    expect(
        &config("--set pull-image-on-create=true --set disable-pull-on-run=true").outcome(),
        0,
        "",
        "",
    );
    assert_eq!(
        text(),
        "timeout: 20 # c\ntimeout: 5\nruntime-endpoint: \"\"\nimage-endpoint: \"\"\ndebug: false\npull-image-on-create: true\ndisable-pull-on-run: true\nmax-retries: 0\n"
    );
    expect(&config("debug true").outcome(), 0, "", "");
    assert!(text().contains("debug: true\n"));
    expect(
        &config("--get nosuch").outcome(),
        1,
        "",
        "no configuration option named nosuch",
    );
    expect(&config("--set timeout=2s").outcome(), 1, "", "timeout");
    expect(
        &config("--set timeout").outcome(),
        1,
        "",
        "incorrectly specified option: timeout",
    );

    // A file that is not there is made, with its directories; reading makes none.
    let path = directory.path().join("a/b/crictl.yaml");
    let config = |arguments: &str| crictl(&format!("-c {} config {arguments}", path.display()));
    expect(&config("--get debug").outcome(), 0, "false\n", "");
    assert!(!path.exists());
    expect(&config("--set debug=1").outcome(), 0, "", "");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("debug: true\n")
    );
}

#[test]
fn config_under_our_own_name_changes_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crictl.yaml");
    let config = |arguments: &str| {
        let place = path.display().to_string();
        criscope(
            ["--config", &place, "config"]
                .into_iter()
                .chain(arguments.split_whitespace()),
        )
    };
    let before = "# ours\n\nruntime-endpoint: 'unix:///a'   # here\nnew-key: 1\n";
    std::fs::write(&path, before).unwrap();
    assert_eq!(
        config("--dry-run --set runtime-endpoint=unix:///b").stdout(),
        before.replace("///a'   #", "///b' #")
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    let outcome = config("runtime-endpoint unix:///b").outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        before.replace("///a'   #", "///b' #")
    );
    assert_eq!(config("runtime-endpoint").stdout(), "unix:///b\n");
    assert_eq!(config("-o json").json()["options"]["debug"], false);
    std::fs::write(&path, "{timeout: 3}\n").unwrap();
    let outcome = config("--set timeout=4").outcome();
    assert!(
        outcome.code == 1 && outcome.stderr.contains("edit it by hand"),
        "{outcome}"
    );
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}
