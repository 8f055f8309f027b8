//! A template and data become text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Error;
use super::format;
use super::function::Function;
use super::parse::{Branch, Command, Node, Operand, Pipeline, Term};
use super::value::Val;

/// How deep templates may use each other. Go allows a thousand times more, on a stack that grows.
const DEEPEST: usize = 100;

/// Runs a template.
///
/// # Errors
/// [`Error::Run`].
pub fn run(
    source: &str,
    root: &[Node],
    defined: &BTreeMap<String, Vec<Node>>,
    data: &Value,
) -> Result<String, Error> {
    let data = Val::of(data);
    let mut run = Run {
        source,
        defined,
        variables: vec![("$", data.clone())],
        depth: 0,
        out: String::new(),
    };
    run.nodes(root, &data)?;
    Ok(run.out)
}

struct Run<'t, 'd> {
    source: &'t str,
    defined: &'t BTreeMap<String, Vec<Node>>,
    variables: Vec<(&'t str, Val<'d>)>,
    depth: usize,
    out: String,
}

/// What a list of nodes wants from the `range` around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'t, 'd> Run<'t, 'd> {
    fn error(&self, at: usize, end: usize, message: impl Into<String>) -> Error {
        let before = &self.source[..at.min(self.source.len())];
        let line_at = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = self.source.get(at..end).unwrap_or_default().trim_end();
        Error::Run {
            line: before.matches('\n').count() + 1,
            column: at - line_at,
            at: text.to_owned(),
            message: message.into(),
        }
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Val<'d>) -> Result<Flow, Error> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        format::print_action(&mut self.out, &value);
                    }
                    Flow::On
                }
                Node::If(branch) => self.choose(branch, dot, false)?,
                Node::With(branch) => self.choose(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
                Node::Template { name, with, at } => {
                    self.template(name, with.as_ref(), *at, dot)?;
                    Flow::On
                }
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn choose(&mut self, branch: &'t Branch, dot: &Val<'d>, moves: bool) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if value.is_true() {
            self.nodes(&branch.body, if moves { &value } else { dot })
        } else {
            self.nodes(&branch.otherwise, dot)
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &'t Branch, dot: &Val<'d>) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let inside = self.variables.len();
        let items: Box<dyn Iterator<Item = (Val<'d>, Val<'d>)>> = match value {
            Val::List(items) => {
                let index = |(index, item)| (whole(index), Val::of(item));
                Box::new(items.iter().enumerate().map(index))
            }
            Val::Map(map) => {
                let mut pairs: Vec<_> = map.iter().collect();
                pairs.sort_by_key(|(key, _)| *key);
                let pairs = pairs.into_iter();
                Box::new(pairs.map(|(key, item)| (Val::Text(key.into()), Val::of(item))))
            }
            Val::Int(count) => Box::new((0..count).map(|at| (Val::Int(at), Val::Int(at)))),
            Val::Nil => Box::new(std::iter::empty()),
            other => {
                let mut text = String::new();
                format::print_value(&mut text, &other);
                let message = format!("range can't iterate over {text}");
                let Pipeline { at, end, .. } = branch.pipeline;
                return Err(self.error(at, end, message));
            }
        };
        let mut is_empty = true;
        for (index, item) in items {
            is_empty = false;
            let values = match branch.pipeline.variables.as_slice() {
                [] => Vec::new(),
                [name] => vec![(name, item.clone())],
                [one, two, ..] => vec![(one, index), (two, item.clone())],
            };
            for (name, value) in values {
                self.assign(name, value);
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(inside);
            if flow == Flow::Break {
                break;
            }
        }
        let flow = match is_empty {
            true => self.nodes(&branch.otherwise, dot),
            false => Ok(Flow::On),
        };
        self.variables.truncate(scope);
        flow
    }

    fn template(
        &mut self,
        name: &str,
        with: Option<&'t Pipeline>,
        at: usize,
        dot: &Val<'d>,
    ) -> Result<(), Error> {
        let data = match with {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Val::Nil,
        };
        let end = self.source[at..].find("}}").map_or(at, |end| at + end);
        let Some(nodes) = self.defined.get(name) else {
            let message = format!("template {name:?} not defined");
            return Err(self.error(at, end, message));
        };
        if self.depth == DEEPEST {
            let message = format!("exceeded maximum template depth ({DEEPEST})");
            return Err(self.error(at, end, message));
        }
        self.depth += 1;
        let variables = std::mem::replace(&mut self.variables, vec![("$", data.clone())]);
        let flow = self.nodes(nodes, &data);
        self.variables = variables;
        self.depth -= 1;
        flow.map(|_| ())
    }

    /// Gives the newest variable of that name a value.
    fn assign(&mut self, name: &str, value: Val<'d>) {
        let found = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == name);
        if let Some(found) = found {
            found.1 = value;
        }
    }

    fn pipeline(&mut self, pipeline: &'t Pipeline, dot: &Val<'d>) -> Result<Val<'d>, Error> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, dot, value)?);
        }
        // Every pipeline has a command.
        let value = value.unwrap_or(Val::Nil);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'t Command,
        dot: &Val<'d>,
        piped: Option<Val<'d>>,
    ) -> Result<Val<'d>, Error> {
        let Some((first, arguments)) = command.operands.split_first() else {
            return Ok(Val::Nil);
        };
        if let (Term::Function(function), true) = (&first.term, first.fields.is_empty()) {
            return self.call(*function, first, arguments, dot, piped);
        }
        if !arguments.is_empty() || piped.is_some() {
            let text = self.source.get(first.at..first.end).unwrap_or_default();
            let message = format!("can't give argument to non-function {}", text.trim_end());
            return Err(self.error(first.at, first.end, message));
        }
        if matches!(first.term, Term::Nil) {
            return Err(self.error(first.at, first.end, "nil is not a command"));
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &'t Operand, dot: &Val<'d>) -> Result<Val<'d>, Error> {
        let mut value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Variable(name) => {
                let mut known = self.variables.iter().rev();
                let found = known.find(|(known, _)| known == name);
                found.map_or(Val::Nil, |(_, value)| value.clone())
            }
            Term::Function(function) => self.call(*function, operand, &[], dot, None)?,
            Term::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
            Term::Nil => Val::Nil,
            Term::Bool(is_true) => Val::Bool(*is_true),
            Term::Whole(number) => Val::Int(*number),
            Term::Fraction(number) => Val::Float(*number),
            Term::Text(text) => Val::text(text.as_str()),
        };
        for field in &operand.fields {
            value = self.field(value, field, operand)?;
        }
        Ok(value)
    }

    fn field(&self, value: Val<'d>, name: &str, operand: &Operand) -> Result<Val<'d>, Error> {
        let message = match value {
            Val::Map(map) => match map.get(name) {
                Some(value) => return Ok(Val::of(value)),
                None => format!("map has no entry for key {name:?}"),
            },
            Val::Nil => format!("nil pointer evaluating interface {{}}.{name}"),
            // Fields of data are behind an interface, whose type Go names.
            _ => format!("can't evaluate field {name} in type interface {{}}"),
        };
        Err(self.error(operand.at, operand.end, message))
    }

    fn call(
        &mut self,
        function: Function,
        named: &'t Operand,
        arguments: &'t [Operand],
        dot: &Val<'d>,
        piped: Option<Val<'d>>,
    ) -> Result<Val<'d>, Error> {
        let mut values = Vec::new();
        // `and` and `or` look no further than they have to.
        let decides = match function {
            Function::And => Some(false),
            Function::Or => Some(true),
            _ => None,
        };
        for argument in arguments {
            let value = self.operand(argument, dot)?;
            if decides == Some(value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(piped);
        function.call(values).map_err(|message| {
            let end = arguments.last().map_or(named.end, |argument| argument.end);
            self.error(named.at, end, message)
        })
    }
}

fn whole<'d>(number: usize) -> Val<'d> {
    Val::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
