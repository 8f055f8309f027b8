//! Templates as Go's text/template reads them: what `-o go-template --template …` takes.
//!
//! Scripts have such templates for crictl, so what counts is Go's behaviour over decoded JSON: trimming, pipelines,
//! variables, `if`, `with`, `range` with `break` and `continue`, `define` and `template`, Go's functions and printf, and
//! crictl's `json`, `lower`, `upper`, `title`. As in crictl a key that a map does not have is an error, null prints as
//! `<no value>`, and numbers are what Go calls json.Number: printed digit by digit, with the truth of a text.
//!
//! Not there: `call`, which has nothing to call, and complex numbers.

mod format;
mod function;
mod lex;
mod parse;
mod run;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

use parse::Node;

/// The name that errors give a template, as Go's do.
const NAME: &str = "go-template";

/// Why a template has no result, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is none.
    #[error("template: {NAME}:{line}: {message}")]
    Parse {
        /// Where, from 1 on.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It does not fit the data.
    #[error("template: {NAME}:{line}:{column}: executing {NAME:?} at <{at}>: {message}")]
    Run {
        /// Where, from 1 on.
        line: usize,
        /// Bytes from the beginning of the line.
        column: usize,
        /// The part of the template.
        at: String,
        /// What is wrong.
        message: String,
    },
}

/// A template that has been read.
#[derive(Debug)]
pub struct Template {
    source: String,
    root: Vec<Node>,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error::Parse`].
    pub fn parse(source: &str) -> Result<Self, Error> {
        let parsed = parse::parse(source)?;
        Ok(Self {
            source: source.to_owned(),
            root: parsed.root,
            defined: parsed.defined,
        })
    }

    /// What it makes of the data.
    ///
    /// # Errors
    /// [`Error::Run`].
    pub fn render(&self, data: &Value) -> Result<String, Error> {
        run::run(&self.source, &self.root, &self.defined, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str, data: &Value) -> Result<String, String> {
        let template = Template::parse(source).map_err(|error| error.to_string())?;
        template.render(data).map_err(|error| error.to_string())
    }

    fn data() -> Value {
        json!({
            "status": {
                "id": "abc", "attempt": 0, "size": "1036824", "running": true, "stopped": false, "nothing": null,
                "labels": {"io.kubernetes.pod.name": "web-1", "app": "web"},
                "tags": ["a:1", "b:2", "c:3"], "none": [], "empty": "",
                "mounts": [{"path": "/a", "ro": true}, {"path": "/b", "ro": false}],
            },
            "info": {"pid": 4012, "ratio": 0.5, "html": "<a & b>"},
        })
    }

    #[test]
    fn templates_do_what_go_does() {
        #[track_caller]
        fn case(source: &str, expected: &str) {
            assert_eq!(render(source, &data()).as_deref(), Ok(expected), "{source}");
        }
        case("plain", "plain");
        case("", "");
        case("{{.status.id}}", "abc");
        case("{{ .status.id }}-{{ $.info.pid }}", "abc-4012");
        case("{{.info.ratio}}", "0.5");
        case("{{.status.nothing}}", "<no value>");
        case("{{.status.tags}}", "[a:1 b:2 c:3]");
        case(
            "{{.status.labels}}",
            "map[app:web io.kubernetes.pod.name:web-1]",
        );
        case(
            "{{.status.mounts}}",
            "[map[path:/a ro:true] map[path:/b ro:false]]",
        );
        // Trimming and comments.
        case("a {{- .status.id -}} b", "aabcb");
        case("a {{/* no */}} b", "a  b");
        case("a {{- /* no */ -}} b", "ab");
        case("{{\"{{\"}}", "{{");
        // Index, len, slice.
        case(
            "{{index .status.labels \"io.kubernetes.pod.name\"}}",
            "web-1",
        );
        case("{{(index .status.labels \"app\" )}}", "web");
        case("{{index .status.labels \"nosuch\"}}", "<no value>");
        case(
            "{{index .status.tags 1}} {{(index .status.mounts 1).path}}",
            "b:2 /b",
        );
        case("{{index .status.mounts 0 \"path\"}}", "/a");
        case(
            "{{len .status.tags}} {{len .status.id}} {{.status.labels | len}}",
            "3 3 2",
        );
        case(
            "{{slice .status.tags 1}} {{slice .status.id 0 2}}",
            "[b:2 c:3] ab",
        );
        // If, with, range.
        case("{{if .status.running}}up{{else}}down{{end}}", "up");
        case(
            "{{if .status.stopped}}1{{else if .status.none}}2{{else if .status.empty}}3{{else}}4{{end}}",
            "4",
        );
        case(
            "{{if .status.attempt}}a number is a text{{end}}",
            "a number is a text",
        );
        case(
            "{{if and .status.running (not .status.stopped)}}yes{{end}}",
            "yes",
        );
        case(
            "{{or .status.empty \"default\"}} {{and .status.running .status.id}}",
            "default abc",
        );
        case(
            "{{with .status.labels}}{{.app}}{{end}}{{with .status.nothing}}x{{else}}-{{end}}",
            "web-",
        );
        case(
            "{{with .status.empty}}x{{else with .status.id}}{{.}}{{end}}",
            "abc",
        );
        case("{{range .status.tags}}{{.}},{{end}}", "a:1,b:2,c:3,");
        case("{{range .status.none}}x{{else}}none{{end}}", "none");
        case("{{range .status.nothing}}x{{else}}none{{end}}", "none");
        case(
            "{{range $i, $t := .status.tags}}{{if $i}} {{end}}{{$i}}={{$t}}{{end}}",
            "0=a:1 1=b:2 2=c:3",
        );
        case(
            "{{range $k, $v := .status.labels}}{{$k}}={{$v}};{{end}}",
            "app=web;io.kubernetes.pod.name=web-1;",
        );
        case(
            "{{range $t := .status.tags}}{{if eq $t \"b:2\"}}{{continue}}{{end}}{{$t}}{{end}}",
            "a:1c:3",
        );
        case(
            "{{range .status.tags}}{{if eq . \"b:2\"}}{{break}}{{end}}{{.}}{{end}}",
            "a:1",
        );
        case("{{range 3}}{{.}}{{end}}", "012");
        case(
            "{{range .status.mounts}}{{.path}}:{{$.status.id}} {{end}}",
            "/a:abc /b:abc ",
        );
        // Variables.
        case("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2");
        case("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1");
        case("{{with $x := .status.id}}{{$x}}{{end}}", "abc");
        // Comparison.
        case(
            "{{eq .status.id \"abc\"}} {{ne .status.id \"abc\"}} {{eq .status.id \"x\" \"abc\"}}",
            "true false true",
        );
        case(
            "{{lt 1 2}} {{le 2 2}} {{gt 1.5 1.0}} {{ge \"b\" \"a\"}}",
            "true true true true",
        );
        case(
            "{{eq .status.running true}} {{eq .status.nothing nil}}",
            "true true",
        );
        // Printing.
        case(
            "{{printf \"%s|%5s|%-5s|%q\" .status.id .status.id .status.id .status.id}}",
            "abc|  abc|abc  |\"abc\"",
        );
        case(
            "{{printf \"%d %03d %x %v %t %%\" 7 7 255 .status.tags true}}",
            "7 007 ff [a:1 b:2 c:3] true %",
        );
        case(
            "{{printf \"%.2f %g %e %c %T\" 1.5 1.5 1500.0 97 .status.id}}",
            "1.50 1.5 1.500000e+03 a string",
        );
        case(
            "{{printf \"%d %s\" .info.pid .info.pid}}",
            "%!d(json.Number=4012) 4012",
        );
        case(
            "{{printf \"%s %d\" \"a\"}} {{printf \"%s\" \"a\" \"b\"}}",
            "a %!d(MISSING) a%!(EXTRA string=b)",
        );
        case(
            "{{print 1 2 \"a\" \"b\" 3}}|{{println \"a\" 1}}",
            "1 2ab3|a 1\n",
        );
        case(
            "{{.info.html | html}} {{\"it's\" | js}} {{\"a b&c\" | urlquery}}",
            "&lt;a &amp; b&gt; it\\'s a+b%26c",
        );
        // crictl's own.
        case("{{json .status.tags}}", "[\"a:1\",\"b:2\",\"c:3\"]\n");
        case("{{.info.html | json}}", "\"\\u003ca \\u0026 b\\u003e\"\n");
        case(
            "{{upper .status.id}} {{lower \"ABC\"}} {{title \"hello wORLD\"}}",
            "ABC abc Hello WORLD",
        );
        case("{{.status.id | upper | printf \"%s-%s\" \"x\"}}", "x-ABC");
        // Literals.
        case(
            "{{`raw \\n`}} {{\"tab\\t\\u0041\"}} {{'a'}} {{0x10}} {{1_000}} {{-1}} {{1e3}} {{true}}",
            "raw \\n tab\tA 97 16 1000 -1 1000 true",
        );
        // Templates in templates.
        case(
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .status.id}}{{block \"b\" 1}}[{{.}}]{{end}}",
            "<abc>[1]",
        );
        case("{{not 0}} {{not \"a\"}}", "true false");
    }

    #[test]
    fn what_does_not_fit_is_told_in_go_s_words() {
        #[track_caller]
        fn case(source: &str, expected: &str) {
            let error = render(source, &data()).unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
            assert!(error.starts_with("template: go-template:1"), "{error}");
        }
        case(
            "{{.nosuch}}",
            ":1:2: executing \"go-template\" at <.nosuch>: map has no entry for key \"nosuch\"",
        );
        case(
            "{{.status.labels.nosuch}}",
            "at <.status.labels.nosuch>: map has no entry for key \"nosuch\"",
        );
        case(
            "{{.status.nothing.x}}",
            "nil pointer evaluating interface {}.x",
        );
        case(
            "{{.status.id.x}}",
            "can't evaluate field x in type interface {}",
        );
        case(
            "{{index .status.tags 9}}",
            "error calling index: index out of range: 9",
        );
        case(
            "{{index .status.tags \"a\"}}",
            "error calling index: cannot index slice/array with type string",
        );
        case("{{index .status.id.x 1}}", "can't evaluate field x");
        case(
            "{{len .info.ratio}}{{len true}}",
            "error calling len: len of type bool",
        );
        case(
            "{{eq .status.attempt 0}}",
            "error calling eq: incompatible types for comparison",
        );
        case(
            "{{lt .status.tags .status.tags}}",
            "error calling lt: invalid type for comparison",
        );
        case(
            "{{.status.id \"x\"}}",
            "can't give argument to non-function .status.id",
        );
        case(
            "{{range .status.id}}{{end}}",
            "range can't iterate over abc",
        );
        case(
            "{{upper .status.running}}",
            "wrong type for value; expected string; got bool",
        );
        case("{{upper}}", "wrong number of args for upper: want 1 got 0");
        case("{{template \"nosuch\"}}", "template \"nosuch\" not defined");
        // Misuse of the language.
        case("{{", "unclosed action");
        case("{{.a", "unclosed action");
        case("{{if .a}}", "unexpected EOF");
        case("{{end}}", "unexpected {{end}}");
        case("{{else}}", "unexpected {{else}}");
        case("{{nosuch .a}}", "function \"nosuch\" not defined");
        case("{{$x}}", "undefined variable \"$x\"");
        case("{{}}", "missing value for command");
        case("{{if}}x{{end}}", "missing value for if");
        case("{{.a | }}", "missing value for command");
        case("{{(.a}}", "unclosed left paren");
        case("{{.a)}}", "unexpected right paren");
        case("{{\"a}}", "unterminated quoted string");
        case("{{.a | 1}}", "non executable command in pipeline stage 2");
        case("{{break}}", "{{break}} outside {{range}}");
        case("{{/* x}}", "unclosed comment");
        case("{{1a}}", "bad number syntax: \"1a\"");
        case("{{a@b}}", "unexpected");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(Template::parse(&deep).is_err());
        let nested = "{{if true}}".repeat(100_000);
        assert!(Template::parse(&nested).is_err());
        let endless = "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}";
        assert!(
            render(endless, &data())
                .unwrap_err()
                .contains("exceeded maximum template depth")
        );
    }
}
