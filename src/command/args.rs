//! Flags that several commands share, and what is typed in them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::error::Error;
use crate::interrupt;
use crate::render::structured;
use crate::template::{self, Template};

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table.
    Table,
    /// A table with more columns.
    Wide,
    /// One JSON document, as the runtime sent it.
    Json,
    /// One YAML document.
    Yaml,
    /// One JSON document a line, one line an element.
    Ndjson,
    /// What `--template` makes of the JSON document.
    GoTemplate,
}

impl ListFormat {
    /// The structured format, if it is one.
    pub fn structured(self) -> Option<structured::Format> {
        match self {
            ListFormat::Table | ListFormat::Wide | ListFormat::GoTemplate => None,
            ListFormat::Json => Some(structured::Format::Json),
            ListFormat::Yaml => Some(structured::Format::Yaml),
            ListFormat::Ndjson => Some(structured::Format::Ndjson),
        }
    }
}

/// How a document is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
    /// One line of JSON.
    Ndjson,
    /// What `--template` makes of the JSON document.
    GoTemplate,
    /// Text for people.
    Table,
}

impl DocumentFormat {
    /// The structured format, if it is one.
    pub fn structured(self) -> Option<structured::Format> {
        match self {
            DocumentFormat::Table | DocumentFormat::GoTemplate => None,
            DocumentFormat::Json => Some(structured::Format::Json),
            DocumentFormat::Yaml => Some(structured::Format::Yaml),
            DocumentFormat::Ndjson => Some(structured::Format::Ndjson),
        }
    }
}

impl DocumentFormat {
    /// A document in this format; nothing for a table.
    ///
    /// # Errors
    /// The template cannot be used, or what `document` fails with.
    pub fn write(
        self,
        template: &TemplateText,
        document: impl FnOnce() -> Result<Value, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(match (self, self.structured()) {
            (DocumentFormat::GoTemplate, _) => Some(template.render(&document()?)?),
            (_, Some(format)) => Some(structured::of_runtime(format, &document()?)?),
            (_, None) => None,
        })
    }
}

/// The template of `-o go-template`.
#[derive(Debug, Clone, Default, Args)]
pub struct TemplateText {
    /// The template for `-o go-template`, as Go's text/template and crictl read it
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
}

impl TemplateText {
    /// Reads the template.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn read(&self) -> Result<Template, Error> {
        let text = self.template.as_deref().ok_or_else(|| {
            Error::usage("there is no template")
                .hint("give one, as in `-o go-template --template '{{json .}}'`")
        })?;
        Template::parse(text)
            .map_err(|error| Error::usage("failed to parse go-template").because(&error))
    }

    /// What the template makes of a document, and a line end.
    ///
    /// # Errors
    /// There is none, it is wrong, or it does not fit.
    pub fn render(&self, document: &Value) -> Result<Vec<u8>, Error> {
        rendered(&self.read()?, document)
    }
}

/// What a template makes of a document, and a line end.
///
/// # Errors
/// It does not fit.
pub fn rendered(template: &Template, document: &Value) -> Result<Vec<u8>, Error> {
    let text = interrupt::deaf(|| template.render(document))
        .map_err(|error: template::Error| Error::failure("execute template").because(&error))?;
    Ok((text + "\n").into_bytes())
}

/// How data is shown that nobody reads as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DataFormat {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
    /// One line of JSON for each.
    Ndjson,
}

impl DataFormat {
    /// The structured format.
    pub fn structured(self) -> structured::Format {
        match self {
            DataFormat::Json => structured::Format::Json,
            DataFormat::Yaml => structured::Format::Yaml,
            DataFormat::Ndjson => structured::Format::Ndjson,
        }
    }
}

/// How an answer is shown that is told in words: a route, a probe, a test pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One JSON document a line, one line an element.
    Ndjson,
}

impl TextFormat {
    /// The structured format, if it is one.
    pub fn structured(self) -> Option<structured::Format> {
        match self {
            TextFormat::Text => None,
            TextFormat::Json => Some(structured::Format::Json),
            TextFormat::Yaml => Some(structured::Format::Yaml),
            TextFormat::Ndjson => Some(structured::Format::Ndjson),
        }
    }

    /// Whether elements can be shown one by one, as soon as each is there.
    pub fn streams(self) -> bool {
        matches!(self, TextFormat::Text | TextFormat::Ndjson)
    }
}

/// The flag of such answers.
#[derive(Debug, Args)]
pub struct TextOutput {
    /// How to show the answer
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        alias = "format"
    )]
    pub output: TextFormat,
}

/// Flags of every list.
#[derive(Debug, Args)]
pub struct ListOutput {
    /// How to show the list
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        alias = "format"
    )]
    pub output: ListFormat,
    /// What `-o go-template` fills in
    #[command(flatten)]
    pub template: TemplateText,
    /// Only ids, one a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Show one block a row instead of a table
    #[arg(short, long)]
    pub verbose: bool,
    /// Show ids and digests whole
    #[arg(long)]
    pub no_trunc: bool,
}

impl ListOutput {
    /// The columns for the chosen format.
    pub fn columns<'c, C>(&self, narrow: &'c [C], wide: &'c [C]) -> &'c [C] {
        if self.output == ListFormat::Wide {
            wide
        } else {
            narrow
        }
    }
}

/// Flags of every list that is sorted by age.
#[derive(Debug, Args)]
pub struct Newest {
    /// Only the newest
    #[arg(short, long)]
    pub latest: bool,
    /// Only the N newest; 0 is all
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub last: usize,
}

impl Newest {
    /// How many are kept, if not all. `--last` beats `--latest`, as in crictl.
    pub fn keep(&self) -> Option<usize> {
        match (self.last, self.latest) {
            (0, true) => Some(1),
            (0, false) => None,
            (last, _) => Some(last),
        }
    }
}

/// Flags of everything that can be looked at again and again.
#[derive(Debug, Args)]
pub struct Watch {
    /// Ask again and again; redraws a terminal
    #[arg(short, long)]
    pub watch: bool,
    /// How long to wait between two looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = pace, requires = "watch")]
    pub interval: Duration,
}

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A pause between two looks; one that is none is refused.
///
/// # Errors
/// A sentence that tells what is wrong.
pub fn pace(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    match duration(text)? {
        pause if pause < LEAST => Err(format!(
            "`{text}` is no pause: the node would be asked without end; at least 100ms are needed"
        )),
        pause => Ok(pause),
    }
}

/// A duration as Go writes it (`1m30s`, `500ms`), or plain seconds; a year at most, so that it can be added to any time.
///
/// # Errors
/// A sentence that shows the right form.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration > LONGEST {
        return Err(format!("`{text}` is longer than a year"));
    }
    Ok(duration)
}

fn any_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it as `2s`, `500ms` or `1m30s`");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        let part = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// A size with a decimal or binary unit (`500MB`, `1.5GiB`), or plain bytes.
///
/// # Errors
/// A sentence that shows the right form.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write it as `500MB` or `2GiB`");
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let factor: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a limit need not be exact, and the cast saturates"
    )]
    let bytes = (number * factor as f64) as u64;
    Ok(bytes)
}

/// A `key=value` pair.
///
/// # Errors
/// A sentence that shows the right form.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.contains('=') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("`{text}` is not of the form `key=value`")),
    }
}

/// A regular expression: unanchored, as in crictl; after `=` the whole name, letter by letter.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<regex_lite::Regex, String> {
    let exact = |name| format!("^{}$", regex_lite::escape(name));
    let pattern = text.strip_prefix('=').map_or(text.to_owned(), exact);
    regex_lite::Regex::new(&pattern).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        #[track_caller]
        fn case(text: &str, expected: Option<u64>) {
            assert_eq!(
                duration(text)
                    .ok()
                    .map(|d| u64::try_from(d.as_millis()).unwrap()),
                expected,
                "{text}"
            );
        }
        case("2s", Some(2000));
        case("5", Some(5000));
        case("500ms", Some(500));
        case("1m30s", Some(90_000));
        case("1.5h", Some(5_400_000));
        case("", None);
        case("s", None);
        case("2 s", None);
        case("-2s", None);
        case("1e400", None);
        case("99999999999999999999h", None);
    }

    #[test]
    fn sizes_with_units() {
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert_eq!(size("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(size("42"), Ok(42));
        assert!(size("").is_err());
        assert!(size("MB").is_err());
        assert!(size("5 parsecs").is_err());
    }

    #[test]
    fn a_name_after_an_equals_sign_is_no_pattern() {
        assert!(pattern("web").unwrap().is_match("my-web-1"));
        assert!(!pattern("=web").unwrap().is_match("my-web-1"));
        assert!(pattern("=a.b").unwrap().is_match("a.b"));
        assert!(!pattern("=a.b").unwrap().is_match("axb"));
        assert!(pattern("(").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "\\PC*") {
            let _ = (duration(&text), size(&text), pair(&text), pattern(&text));
        }

        #[test]
        fn durations_are_the_sum_of_their_parts(h in 0..1000u64, m in 0..60u64, s in 0..60u64, ms in 0..1000u64) {
            let expected = Duration::from_millis(((h * 60 + m) * 60 + s) * 1000 + ms);
            let read = duration(&format!("{h}h{m}m{s}s{ms}ms")).unwrap();
            // Parts are read as fractions of a second.
            proptest::prop_assert!(read.abs_diff(expected) < Duration::from_micros(1));
        }

        #[test]
        fn sizes_in_bytes_are_exact(bytes in 0..1u64 << 53) {
            proptest::prop_assert_eq!(size(&bytes.to_string()), Ok(bytes));
            proptest::prop_assert_eq!(size(&format!("{bytes} B")), Ok(bytes));
        }

        #[test]
        fn selectors_keep_what_was_typed(key in "[^=]{1,9}", value in "[^=]{0,9}") {
            proptest::prop_assert_eq!(pair(&format!("{key}={value}")), Ok((key, value)));
        }

        #[test]
        fn a_name_after_an_equals_sign_matches_itself_alone(name in "[\\PC&&[^\n]]{1,12}") {
            let (exact, longer) = (pattern(&format!("={name}")).unwrap(), format!("{name}x"));
            proptest::prop_assert!(exact.is_match(&name) && !exact.is_match(&longer));
        }
    }

    #[test]
    fn pairs_have_one_equals_sign() {
        assert!(pair("app=web").is_ok());
        assert!(pair("app=").is_ok());
        assert!(pair("app").is_err());
        assert!(pair("=x").is_err());
        assert!(pair("a=b=c").is_err());
    }
}
