//! `criscope endpoints`: every known socket, what is behind it, and what to do about those that do not serve.
//!
//! All are examined at the same time, each within the deadline; their order decides which one commands talk to.

use clap::Args;

use super::args::{ListFormat, TemplateText, Watch};
use super::session::Session;
use crate::endpoint::report::{EndpointReport, Process, Verdict};
use crate::error::{Error, Exit};
use crate::probe::discovery::Discovery;
use crate::probe::socket::Effort;
use crate::render::list::{self, Cells, Column};
use crate::render::{sanitize, structured};

const EXAMPLES: &str = "\
Examples:
  criscope endpoints             which runtimes answer, and why the others do not
  criscope endpoints -o json     the same for scripts; exit code 3 if none serves
  criscope endpoints --wake      start a service that sleeps behind its socket";

/// Arguments of `endpoints`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Endpoints {
    /// How to show them
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        alias = "format"
    )]
    output: ListFormat,
    #[command(flatten)]
    template: TemplateText,
    /// Connect to sockets whose service is not running, which starts it
    #[arg(long)]
    wake: bool,
    #[command(flatten)]
    watch: Watch,
}

const ENDPOINT: Column<EndpointReport> = Column {
    heading: "ENDPOINT",
    cell: |report, _| {
        format!(
            "{}{}",
            report.endpoint,
            if report.chosen { " *" } else { "" }
        )
        .into()
    },
};
const SOURCE: Column<EndpointReport> = Column {
    heading: "SOURCE",
    cell: |report, _| report.source.name().into(),
};
const VERDICT: Column<EndpointReport> = Column {
    heading: "VERDICT",
    cell: |report, _| report.verdict.name().into(),
};
const RUNTIME: Column<EndpointReport> = Column {
    heading: "RUNTIME",
    cell: |report, _| {
        report
            .runtime
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
            .into()
    },
};
const API: Column<EndpointReport> = Column {
    heading: "API",
    cell: |report, _| {
        report
            .runtime
            .as_ref()
            .and_then(|runtime| runtime.api.clone())
            .unwrap_or_default()
            .into()
    },
};
const LATENCY: Column<EndpointReport> = Column {
    heading: "LATENCY",
    cell: |report, _| {
        report
            .latency_ms
            .map_or_else(String::new, |ms| format!("{ms:.1}ms"))
            .into()
    },
};
const PROCESS: Column<EndpointReport> = Column {
    heading: "PROCESS",
    cell: |report, _| {
        report
            .process
            .as_ref()
            .map_or_else(String::new, process)
            .into()
    },
};
const NAMED_BY: Column<EndpointReport> = Column {
    heading: "NAMED BY",
    cell: |report, _| (&report.named_by).into(),
};

const COLUMNS: &[&Column<EndpointReport>] = &[
    &ENDPOINT, &SOURCE, &VERDICT, &RUNTIME, &API, &LATENCY, &PROCESS,
];
const WIDE: &[&Column<EndpointReport>] = &[
    &ENDPOINT, &SOURCE, &VERDICT, &RUNTIME, &API, &LATENCY, &PROCESS, &NAMED_BY,
];

/// Runs `criscope endpoints`.
///
/// # Errors
/// The endpoint that was set is not usable, or stdout cannot be written.
pub async fn run(args: &Endpoints, session: &Session) -> Result<Exit, Error> {
    let chosen = std::cell::Cell::new(false);
    session
        .show(&args.watch, async || {
            let discovery = session.discover(Effort::Full, args.wake).await?;
            chosen.set(discovery.chosen.is_some());
            for remark in &discovery.remarks {
                session.output.warning(remark);
            }
            match args.output.structured() {
                Some(structured::Format::Ndjson) => {
                    let lines: Result<Vec<Vec<u8>>, _> = discovery
                        .endpoints
                        .iter()
                        .map(|report| structured::document(structured::Format::Ndjson, report))
                        .collect();
                    Ok(lines?.concat())
                }
                Some(format) => Ok(structured::document(format, &discovery.document())?),
                None if args.output == ListFormat::GoTemplate => {
                    let document = serde_json::to_value(discovery.document())
                        .map_err(structured::Error::from)?;
                    args.template.render(&document)
                }
                None => Ok(text(&discovery, args.output == ListFormat::Wide).into_bytes()),
            }
        })
        .await?;
    Ok(if chosen.get() {
        Exit::Success
    } else {
        Exit::Undetermined
    })
}

fn text(discovery: &Discovery, wide: bool) -> String {
    let cells = Cells {
        now: 0,
        full_ids: true,
    };
    let mut text = list::table(
        if wide { WIDE } else { COLUMNS },
        &discovery.endpoints,
        &cells,
    );
    text.push('\n');
    for report in discovery
        .endpoints
        .iter()
        .filter(|report| report.verdict != Verdict::Absent)
    {
        let trouble = !report.verdict.serves() || report.advice.is_some();
        if let Some(because) = &report.chosen_because {
            text.push_str(&format!("* chosen: {}\n", sanitize::line(because)));
        }
        if trouble {
            text.push_str(&format!(
                "{}: {}\n",
                report.endpoint,
                sanitize::line(&report.detail)
            ));
            if let Some(words) = &report.runtime_says {
                text.push_str(&format!("  the runtime says: {}\n", sanitize::line(words)));
            }
            if let Some(advice) = &report.advice {
                text.push_str(&format!("  {}\n", sanitize::line(advice)));
            }
        }
    }
    if discovery.chosen.is_none() {
        text.push_str("no endpoint serves CRI\n");
    }
    text
}

fn process(process: &Process) -> String {
    let words = [
        process.pid.map(|pid| pid.to_string()),
        process.exe.clone(),
        process.unit.as_ref().map(|unit| format!("({unit})")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    match (&process.unknown, words.is_empty()) {
        (Some(reason), true) => format!("unknown: {reason}"),
        _ => words.join(" "),
    }
}
