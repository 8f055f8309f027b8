//! Commands with a stream, and those about crictl itself.

use super::{Answer, Command, Flag, LABEL, Operands, list, switch, text, whole};

const TRANSPORT: Flag = text(
    &["transport", "r"],
    "How bytes travel: spdy or websocket; what works, if it is not given",
);
const TLS_SNI: Flag = text(
    &["tls-sni", "tls-server-name"],
    "The name in the certificate of the streaming server",
)
.default("\"localhost\"");
const TLS_CA: Flag = text(
    &["tls-ca"],
    "The authority that vouches for the streaming server",
);
const TLS_CERT: Flag = text(
    &["tls-cert"],
    "The certificate that is shown to the streaming server",
);
const TLS_KEY: Flag = text(&["tls-key"], "The key of that certificate");

pub const ALL: &[Command] = &[
    Command {
        name: "attach",
        aliases: &[],
        usage: "Attach to a running container",
        operand: "CONTAINER-ID",
        operands: Operands {
            lacking: Answer::Error("ID cannot be empty"),
            ..Operands::exactly(1)
        },
        bundles: true,
        flags: &[
            switch(&["stdin", "i"], "Send it our input"),
            TLS_CA,
            TLS_CERT,
            TLS_KEY,
            TLS_SNI,
            TRANSPORT,
            switch(&["tty", "t"], "The container has a terminal"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "completion",
        aliases: &[],
        usage: "Print a script that completes commands and flags",
        operand: "SHELL",
        operands: Operands::at_most(1),
        bundles: false,
        flags: &[],
        formats: None,
        below: &[],
    },
    Command {
        name: "config",
        aliases: &[],
        usage: "Get, set and list the options of crictl",
        operand: "[KEY VALUE]",
        operands: Operands::ANY,
        bundles: true,
        flags: &[
            text(&["get"], "Show the value of this option"),
            switch(&["list"], "Show all options"),
            list(
                &["set"],
                "Set an option, written key=value; repeatable, and commas separate too",
            ),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "exec",
        aliases: &[],
        usage: "Run a command in a running container",
        operand: "CONTAINER-ID COMMAND [ARG...]",
        operands: Operands::at_least(1, Answer::Help),
        bundles: true,
        flags: &[
            switch(
                &["ignore-errors", "e"],
                "Go on after a failure, and do not count it",
            ),
            text(&["image"], "In all containers of this image"),
            switch(&["interactive", "i"], "Send it our input"),
            LABEL,
            whole(&["last", "n"], "In the N newest containers; 0 is all").default("0"),
            switch(&["latest", "l"], "In the newest container"),
            text(&["name"], "In all containers whose name matches"),
            switch(&["parallel", "x"], "In all of them at the same time"),
            text(&["pod", "p"], "In all containers of the pod with this id"),
            switch(
                &["quiet", "q"],
                "No line that names each of several containers",
            ),
            text(&["state"], "In all containers in this state"),
            switch(&["sync", "s"], "Let the runtime run it, without a stream"),
            whole(&["timeout"], "How long the command may take, in seconds").default("0"),
            TLS_CA,
            TLS_CERT,
            TLS_KEY,
            TLS_SNI,
            TRANSPORT,
            switch(&["tty", "t"], "Give the command a terminal"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "logs",
        aliases: &[],
        usage: "Fetch the logs of a container",
        operand: "CONTAINER-ID",
        operands: Operands {
            lacking: Answer::Error("ID cannot be empty"),
            ..Operands::exactly(1)
        },
        bundles: true,
        flags: &[
            switch(&["follow", "f"], "Go on with what comes"),
            whole(&["limit-bytes"], "At most so many bytes; -1 is all").default("-1"),
            switch(&["previous", "p"], "Those of the container before"),
            switch(&["reopen", "r"], "Let the runtime open the log anew"),
            text(&["since"], "Only what was written after this time"),
            text(&["stream", "s"], "Only stdout or only stderr"),
            whole(&["tail"], "Only the last lines; -1 is all").default("-1"),
            switch(&["timestamps", "t"], "Show when each line was written"),
        ],
        formats: None,
        below: &[],
    },
    Command {
        name: "port-forward",
        aliases: &[],
        usage: "Forward local ports to a pod",
        operand: "POD-ID [LOCAL_PORT:]REMOTE_PORT",
        operands: Operands::at_least(2, Answer::Help),
        bundles: false,
        flags: &[TLS_CA, TLS_CERT, TLS_KEY, TLS_SNI, TRANSPORT],
        formats: None,
        below: &[],
    },
];
