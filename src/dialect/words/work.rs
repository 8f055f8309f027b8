//! Commands that change containers and images.

use super::pods::POD_SCHEMA;
use super::{Answer, Command, Flag, Operands, list, span, switch, text, whole};

const CREDS: Flag = text(&["creds"], "Log in with USERNAME[:PASSWORD]").variable("CRICTL_CREDS");
const AUTH: Flag = text(
    &["auth"],
    "Log in with this string, which is USERNAME[:PASSWORD] in base64",
)
.variable("CRICTL_AUTH");
const USERNAME: Flag = text(
    &["username", "u"],
    "Log in with this name; the password is asked for",
);
const PULL_TIMEOUT: Flag = span(
    &["pull-timeout", "pt"],
    "How long a pull may take; 0s is for ever",
)
.default("0s")
.variable("CRICTL_PULL_TIMEOUT");
const CANCEL_TIMEOUT: Flag =
    span(&["cancel-timeout", "T"], "How long the runtime may take").default("0s");
const NO_PULL: Flag = switch(&["no-pull"], "Leave the image as it is");
const WITH_PULL: Flag = switch(&["with-pull"], "Pull the image first");

const SCHEMAS: &[Command] = &[Command {
    name: "jsonschema",
    aliases: &["js"],
    usage: "Print the JSON schema of the configuration of a pod or a container",
    operand: "",
    operands: Operands::IGNORED,
    bundles: true,
    flags: &[
        switch(&["container", "c"], "The container's, a ContainerConfig"),
        switch(&["pod", "p"], "The pod's, a PodSandboxConfig"),
    ],
    formats: None,
    below: &[],
}];

const CONTAINERS: &str = "CONTAINER-ID [CONTAINER-ID...]";
const NO_ID: Answer = Answer::Error("ID cannot be empty");

pub const ALL: &[Command] = &[
    Command {
        name: "checkpoint",
        aliases: &[],
        usage: "Checkpoint running containers",
        operand: CONTAINERS,
        operands: Operands::at_least(1, NO_ID),
        bundles: true,
        flags: &[text(
            &["export", "e"],
            "The archive (/path/to/checkpoint.tar) that the runtime writes",
        )],
        formats: None,
        below: &[],
    },
    Command {
        name: "create",
        aliases: &[],
        usage: "Create a new container",
        operand: "POD container-config.[json|yaml] pod-config.[json|yaml]",
        operands: Operands::exactly(3),
        bundles: false,
        flags: &[
            AUTH,
            CANCEL_TIMEOUT,
            CREDS,
            NO_PULL,
            PULL_TIMEOUT,
            USERNAME,
            WITH_PULL,
        ],
        formats: None,
        below: SCHEMAS,
    },
    Command {
        name: "pull",
        aliases: &[],
        usage: "Pull an image from a registry",
        operand: "NAME[:TAG|@DIGEST]",
        operands: Operands {
            lacking: Answer::Error("image name cannot be empty"),
            ..Operands::exactly(1)
        },
        bundles: true,
        flags: &[
            list(
                &["annotation", "a"],
                "Say this to the runtime about the image",
            ),
            AUTH,
            CREDS,
            text(&["pod-config"], "Pull as for the pod of this file"),
            PULL_TIMEOUT,
            USERNAME,
        ],
        formats: None,
        below: POD_SCHEMA,
    },
    Command {
        name: "rm",
        aliases: &[],
        usage: "Remove containers",
        operand: CONTAINERS,
        operands: Operands::at_least(1, Answer::Help),
        bundles: true,
        flags: &[
            switch(&["all", "a"], "Every container"),
            switch(&["force", "f"], "Kill a container first that is running"),
            switch(&["keep-logs", "k"], "Leave the logs on the disk"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "rmi",
        aliases: &[],
        usage: "Remove images. All tags of an image are removed, whichever was given: CRI cannot do less",
        operand: "IMAGE-ID [IMAGE-ID...]",
        operands: Operands::at_least(1, Answer::Help),
        bundles: true,
        flags: &[
            switch(&["all", "a"], "Every image"),
            switch(&["prune", "q"], "Every image that no container uses"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "run",
        aliases: &[],
        usage: "Run a new container in a pod of its own",
        operand: "container-config.[json|yaml] pod-config.[json|yaml]",
        operands: Operands::exactly(2),
        bundles: false,
        flags: &[
            AUTH,
            CANCEL_TIMEOUT,
            CREDS,
            NO_PULL,
            PULL_TIMEOUT,
            text(&["runtime", "r"], "The runtime handler that runs the pod"),
            USERNAME,
            WITH_PULL,
        ],
        formats: None,
        below: SCHEMAS,
    },
    Command {
        name: "start",
        aliases: &[],
        usage: "Start containers that were created",
        operand: CONTAINERS,
        operands: Operands::at_least(1, NO_ID),
        bundles: false,
        flags: &[],
        formats: None,
        below: &[],
    },
    Command {
        name: "stop",
        aliases: &[],
        usage: "Stop running containers",
        operand: CONTAINERS,
        operands: Operands::at_least(
            1,
            Answer::Error("you must specify at least one CONTAINER-ID or use --all"),
        ),
        bundles: true,
        flags: &[
            switch(&["all", "a"], "Every running container"),
            whole(
                &["timeout", "t"],
                "How many seconds a container may take to end by itself before it is killed",
            )
            .default("0"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "update",
        aliases: &[],
        usage: "Update the limits of running containers",
        operand: CONTAINERS,
        operands: Operands::at_least(1, NO_ID),
        bundles: false,
        flags: &[
            whole(&["cpu-count"], "(Windows only) Number of CPUs").default("0"),
            whole(
                &["cpu-maximum"],
                "(Windows only) Percentage of CPU time, times 100",
            )
            .default("0"),
            whole(
                &["cpu-period"],
                "Length of a scheduling period, in microseconds",
            )
            .default("0"),
            whole(&["cpu-quota"], "CPU time in each period, in microseconds").default("0"),
            whole(&["cpu-share"], "Weight against others").default("0"),
            text(&["cpuset-cpus"], "CPUs to run on"),
            text(&["cpuset-mems"], "Memory nodes to use"),
            whole(&["memory"], "Most memory, in bytes").default("0"),
            text(
                &["oom-score-adj"],
                "From -1000, never killed, to 1000, killed first",
            ),
        ],
        formats: None,
        below: &[],
    },
];
