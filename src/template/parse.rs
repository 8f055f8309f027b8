//! From tokens to a tree, with Go's complaints.

use std::collections::BTreeMap;

use super::Error;
use super::function::Function;
use super::lex::{self, Kind, Token};

/// How deep parentheses and actions may nest.
const DEEPEST: usize = 200;

/// A part of a template.
#[derive(Debug, Clone)]
pub enum Node {
    /// Text.
    Text(String),
    /// A pipeline whose value is printed, unless it declares.
    Print(Pipeline),
    /// `if`.
    If(Branch),
    /// `with`.
    With(Branch),
    /// `range`.
    Range(Branch),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// `template`.
    Template {
        /// Its name.
        name: String,
        /// What it is given.
        with: Option<Pipeline>,
        /// Where.
        at: usize,
    },
}

/// `if`, `with` or `range`.
#[derive(Debug, Clone)]
pub struct Branch {
    /// What decides.
    pub pipeline: Pipeline,
    /// What is done then.
    pub body: Vec<Node>,
    /// What is done else.
    pub otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Variables that get the value.
    pub variables: Vec<String>,
    /// Whether they are there already.
    pub assigns: bool,
    /// The commands.
    pub commands: Vec<Command>,
    /// Where.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
}

/// A value, or a function and its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    /// The function or value, and the arguments.
    pub operands: Vec<Operand>,
}

/// A value in a command.
#[derive(Debug, Clone)]
pub struct Operand {
    /// What it is.
    pub term: Term,
    /// Fields of it.
    pub fields: Vec<String>,
    /// Where.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
}

/// A value without fields.
#[derive(Debug, Clone)]
pub enum Term {
    /// `.`.
    Dot,
    /// A variable.
    Variable(String),
    /// A function.
    Function(Function),
    /// A pipeline in parentheses.
    Pipeline(Box<Pipeline>),
    /// `nil`.
    Nil,
    /// A literal.
    Bool(bool),
    /// A literal.
    Whole(i64),
    /// A literal.
    Fraction(f64),
    /// A literal.
    Text(String),
}

/// What was read.
pub struct Parsed {
    /// The template.
    pub root: Vec<Node>,
    /// Those that it defines.
    pub defined: BTreeMap<String, Vec<Node>>,
}

/// Why a list of nodes ended.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Source,
    End,
    Else,
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    ranges: usize,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
}

/// Reads a template.
///
/// # Errors
/// [`Error::Parse`].
pub fn parse(source: &str) -> Result<Parsed, Error> {
    let mut parser = Parser {
        source,
        tokens: lex::lex(source)?,
        next: 0,
        depth: 0,
        ranges: 0,
        variables: vec!["$".to_owned()],
        defined: BTreeMap::new(),
    };
    let (root, end) = parser.nodes()?;
    match end {
        Stop::Source => Ok(Parsed {
            root,
            defined: parser.defined,
        }),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else => Err(parser.error("unexpected {{else}}")),
    }
}

impl Parser<'_> {
    fn at(&self) -> usize {
        let before = self.tokens.get(self.next.saturating_sub(1));
        self.tokens
            .get(self.next)
            .or(before)
            .map_or(0, |token| token.at)
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Parse {
            line: lex::line(self.source, self.at()),
            message: message.into(),
        }
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn deeper<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        let made = what(self);
        self.depth -= 1;
        made
    }

    /// Nodes up to the end of the source, `end` or `else`; of `else` only the word is taken.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), Error> {
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                _ => match self.action(&mut nodes)? {
                    None => {}
                    Some(end) => return Ok((nodes, end)),
                },
            }
        }
        Ok((nodes, Stop::Source))
    }

    /// What is behind `{{`.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Stop>, Error> {
        let word = match self.peek() {
            Some(Kind::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let is_loop = matches!(word.as_str(), "break" | "continue")
            && matches!(
                self.tokens.get(self.next + 1).map(|t| &t.kind),
                Some(Kind::Close)
            );
        match word.as_str() {
            "end" => {
                self.next += 1;
                self.close("end")?;
                return Ok(Some(Stop::End));
            }
            "else" => {
                self.next += 1;
                return Ok(Some(Stop::Else));
            }
            "if" => {
                let branch = self.branch("if", true)?;
                nodes.push(Node::If(branch));
            }
            "with" => {
                let branch = self.branch("with", true)?;
                nodes.push(Node::With(branch));
            }
            "range" => {
                let branch = self.branch("range", false)?;
                nodes.push(Node::Range(branch));
            }
            word if is_loop => {
                if self.ranges == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.next += 2;
                nodes.push(match word {
                    "break" => Node::Break,
                    _ => Node::Continue,
                });
            }
            "define" => self.define()?,
            "template" | "block" => {
                let node = self.template(word == "block")?;
                nodes.push(node);
            }
            _ => {
                let pipeline = self.pipeline("command", 1)?;
                self.close("command")?;
                nodes.push(Node::Print(pipeline));
            }
        }
        Ok(None)
    }

    fn close(&mut self, context: &str) -> Result<(), Error> {
        match self.peek() {
            Some(Kind::Close) => {
                self.next += 1;
                Ok(())
            }
            other => {
                let other = other.map_or("EOF".to_owned(), shown);
                Err(self.error(format!("unexpected {other} in {context}")))
            }
        }
    }

    /// `if`, `with` or `range`, the word still to be taken; those that chain may go on with `else if`.
    fn branch(&mut self, word: &'static str, chains: bool) -> Result<Branch, Error> {
        self.deeper(|parser| {
            parser.next += 1;
            let scope = parser.variables.len();
            let most = if word == "range" { 2 } else { 1 };
            let pipeline = parser.pipeline(word, most)?;
            parser.close(word)?;
            let is_range = word == "range";
            parser.ranges += usize::from(is_range);
            let (body, end) = parser.nodes()?;
            parser.ranges -= usize::from(is_range);
            let mut otherwise = Vec::new();
            match end {
                Stop::Source => return Err(parser.error("unexpected EOF")),
                Stop::End => {}
                Stop::Else => {
                    let again = matches!(parser.peek(), Some(Kind::Word(next)) if next == word);
                    if chains && again {
                        let branch = parser.branch(word, true)?;
                        otherwise.push(match word {
                            "if" => Node::If(branch),
                            _ => Node::With(branch),
                        });
                    } else {
                        parser.close("else")?;
                        let (nodes, end) = parser.nodes()?;
                        match end {
                            Stop::End => otherwise = nodes,
                            Stop::Else => return Err(parser.error("expected end; found {{else}}")),
                            Stop::Source => return Err(parser.error("unexpected EOF")),
                        }
                    }
                }
            }
            parser.variables.truncate(scope);
            Ok(Branch {
                pipeline,
                body,
                otherwise,
            })
        })
    }

    fn name(&mut self, context: &str) -> Result<String, Error> {
        match self.peek().cloned() {
            Some(Kind::Quoted(name)) => {
                self.next += 1;
                Ok(name)
            }
            other => {
                let other = other.as_ref().map_or("EOF".to_owned(), shown);
                Err(self.error(format!("unexpected {other} in {context}")))
            }
        }
    }

    /// A list of nodes that has only its own variables.
    fn apart(&mut self) -> Result<Vec<Node>, Error> {
        self.deeper(|parser| {
            let variables = std::mem::replace(&mut parser.variables, vec!["$".to_owned()]);
            let ranges = std::mem::take(&mut parser.ranges);
            let (nodes, end) = parser.nodes()?;
            parser.variables = variables;
            parser.ranges = ranges;
            match end {
                Stop::End => Ok(nodes),
                Stop::Else => Err(parser.error("unexpected {{else}}")),
                Stop::Source => Err(parser.error("unexpected EOF")),
            }
        })
    }

    fn define(&mut self) -> Result<(), Error> {
        self.next += 1;
        let name = self.name("define clause")?;
        self.close("define clause")?;
        let nodes = self.apart()?;
        self.defined.insert(name, nodes);
        Ok(())
    }

    /// `template`, or `block`, which defines what it uses.
    fn template(&mut self, is_block: bool) -> Result<Node, Error> {
        let at = self.at();
        self.next += 1;
        let name = self.name("template clause")?;
        let has_data = self.peek() != Some(&Kind::Close);
        let with = match has_data {
            true => Some(self.pipeline("template clause", 1)?),
            false if is_block => return Err(self.error("missing value for block clause")),
            false => None,
        };
        self.close("template clause")?;
        if is_block {
            let nodes = self.apart()?;
            self.defined.insert(name.clone(), nodes);
        }
        Ok(Node::Template { name, with, at })
    }

    fn pipeline(&mut self, context: &str, most: usize) -> Result<Pipeline, Error> {
        let at = self.at();
        let (variables, assigns) = self.declared(context, most)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.operands.is_empty() {
                let what = if commands.is_empty() {
                    context
                } else {
                    "command"
                };
                return Err(self.error(format!("missing value for {what}")));
            }
            if !commands.is_empty() && !command.is_executable() {
                let stage = commands.len() + 1;
                return Err(self.error(format!("non executable command in pipeline stage {stage}")));
            }
            commands.push(command);
            if self.peek() != Some(&Kind::Pipe) {
                break;
            }
            self.next += 1;
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        let end = self.at();
        Ok(Pipeline {
            variables,
            assigns,
            commands,
            at,
            end,
        })
    }

    /// `$x :=`, `$x =`, and for `range` `$i, $x :=`.
    fn declared(&mut self, context: &str, most: usize) -> Result<(Vec<String>, bool), Error> {
        let mut variables = Vec::new();
        let begins = self.next;
        while let Some(Kind::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            variables.push(name);
            match self.peek() {
                Some(Kind::Comma) if variables.len() < most => self.next += 1,
                Some(Kind::Comma) if variables.len() >= most => {
                    return Err(self.error(format!("too many declarations in {context}")));
                }
                Some(Kind::Declare) => {
                    self.next += 1;
                    return Ok((variables, false));
                }
                Some(Kind::Assign) => {
                    for name in &variables {
                        if !self.variables.contains(name) {
                            return Err(self.error(format!("undefined variable {name:?}")));
                        }
                    }
                    self.next += 1;
                    return Ok((variables, true));
                }
                _ => break,
            }
        }
        self.next = begins;
        Ok((Vec::new(), false))
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut operands = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        Ok(Command { operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(token) = self.tokens.get(self.next).cloned() else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        let term = match token.kind {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => {
                fields.push(name);
                Term::Dot
            }
            Kind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(self.error(format!("undefined variable {name:?}")));
                }
                Term::Variable(name)
            }
            Kind::Quoted(text) => Term::Text(text),
            Kind::Whole(number) => Term::Whole(number),
            Kind::Fraction(number) => Term::Fraction(number),
            Kind::Word(word) => match word.as_str() {
                "true" => Term::Bool(true),
                "false" => Term::Bool(false),
                "nil" => Term::Nil,
                word => match Function::named(word) {
                    Some(function) => Term::Function(function),
                    None => return Err(self.error(format!("function {word:?} not defined"))),
                },
            },
            Kind::Left => {
                let pipeline = self.deeper(|parser| {
                    parser.next += 1;
                    let pipeline = parser.pipeline("parenthesized pipeline", 0)?;
                    match parser.peek() {
                        Some(Kind::Right) => Ok(pipeline),
                        _ => Err(parser.error("unclosed left paren")),
                    }
                })?;
                Term::Pipeline(Box::new(pipeline))
            }
            Kind::Pipe | Kind::Close | Kind::Right => return Ok(None),
            other => {
                let other = shown(&other);
                return Err(self.error(format!("unexpected {other} in operand")));
            }
        };
        self.next += 1;
        while let Some(Token {
            kind: Kind::Field(name),
            spaced: false,
            ..
        }) = self.tokens.get(self.next)
        {
            fields.push(name.clone());
            self.next += 1;
        }
        Ok(Some(Operand {
            term,
            fields,
            at: token.at,
            end: self.at(),
        }))
    }
}

impl Command {
    /// Whether it can take the value of a command before it.
    fn is_executable(&self) -> bool {
        match self.operands.first() {
            Some(operand) => !matches!(
                (&operand.term, operand.fields.is_empty()),
                (
                    Term::Bool(_) | Term::Whole(_) | Term::Fraction(_) | Term::Text(_) | Term::Nil,
                    _
                ) | (Term::Dot, true)
            ),
            None => false,
        }
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Open => "\"{{\"".to_owned(),
        Kind::Close => "\"}}\"".to_owned(),
        Kind::Word(word) => format!("<{word}>"),
        Kind::Dot => "<.>".to_owned(),
        Kind::Field(name) => format!("<.{name}>"),
        Kind::Variable(name) => format!("<{name}>"),
        Kind::Quoted(text) => format!("{text:?}"),
        Kind::Whole(number) => format!("\"{number}\""),
        Kind::Fraction(number) => format!("\"{number}\""),
        Kind::Pipe => "\"|\"".to_owned(),
        Kind::Left => "\"(\"".to_owned(),
        Kind::Right => "\")\"".to_owned(),
        Kind::Comma => "\",\"".to_owned(),
        Kind::Declare => "\":=\"".to_owned(),
        Kind::Assign => "\"=\"".to_owned(),
    }
}
