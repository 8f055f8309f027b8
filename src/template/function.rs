//! The functions of templates: Go's own but `call`, and crictl's `json`, `lower`, `upper` and `title`.

use std::cmp::Ordering;

use super::format;
use super::value::Val;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are named as in templates")]
pub enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Html,
    Js,
    UrlQuery,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Json,
    Lower,
    Upper,
    Title,
}

const ALL: [(&str, Function, usize, usize); 22] = {
    use Function::{
        And, Eq, Ge, Gt, Html, Index, Js, Json, Le, Len, Lower, Lt, Ne, Not, Or, Print, Printf,
        Println, Slice, Title, Upper, UrlQuery,
    };
    const MANY: usize = usize::MAX;
    [
        ("and", And, 1, MANY),
        ("or", Or, 1, MANY),
        ("not", Not, 1, 1),
        ("len", Len, 1, 1),
        ("index", Index, 1, MANY),
        ("slice", Slice, 1, MANY),
        ("print", Print, 0, MANY),
        ("printf", Printf, 1, MANY),
        ("println", Println, 0, MANY),
        ("html", Html, 0, MANY),
        ("js", Js, 0, MANY),
        ("urlquery", UrlQuery, 0, MANY),
        ("eq", Eq, 1, MANY),
        ("ne", Ne, 2, 2),
        ("lt", Lt, 2, 2),
        ("le", Le, 2, 2),
        ("gt", Gt, 2, 2),
        ("ge", Ge, 2, 2),
        ("json", Json, 1, 1),
        ("lower", Lower, 1, 1),
        ("upper", Upper, 1, 1),
        ("title", Title, 1, 1),
    ]
};

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<Function> {
        ALL.iter()
            .find(|entry| entry.0 == name)
            .map(|entry| entry.1)
    }

    /// Its value.
    ///
    /// # Errors
    /// What is wrong with the arguments, in Go's words.
    pub fn call(self, values: Vec<Val<'_>>) -> Result<Val<'_>, String> {
        let Some((name, _, least, most)) = ALL.iter().find(|entry| entry.1 == self) else {
            return Err("unknown function".to_owned());
        };
        let count = values.len();
        if count < *least || count > *most {
            let want = if *most == usize::MAX {
                format!("at least {least}")
            } else {
                least.to_string()
            };
            return Err(format!(
                "wrong number of args for {name}: want {want} got {count}"
            ));
        }
        let calling = |message: String| format!("error calling {name}: {message}");
        match self {
            Function::And => Ok(deciding(values, false)),
            Function::Or => Ok(deciding(values, true)),
            Function::Not => Ok(Val::Bool(!values[0].is_true())),
            Function::Len => length(&values[0]).map_err(calling),
            Function::Index => index(values).map_err(calling),
            Function::Slice => slice(values).map_err(calling),
            Function::Print => Ok(Val::text(format::sprint(&values))),
            Function::Println => Ok(Val::text(format::sprintln(&values))),
            Function::Printf => match values[0].as_text() {
                Some(layout) => Ok(Val::text(format::sprintf(&layout, &values[1..]))),
                None => Err(wants_text(&values[0])),
            },
            Function::Html => Ok(Val::text(html(&format::sprint(&values)))),
            Function::Js => Ok(Val::text(js(&format::sprint(&values)))),
            Function::UrlQuery => Ok(Val::text(url_query(&format::sprint(&values)))),
            Function::Eq | Function::Ne => equal(&values)
                .map(|equal| Val::Bool(equal == (self == Function::Eq)))
                .map_err(calling),
            Function::Lt | Function::Le | Function::Gt | Function::Ge => {
                let order = order(&values[0], &values[1]).map_err(calling)?;
                Ok(Val::Bool(match self {
                    Function::Lt => order == Some(Ordering::Less),
                    Function::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                    Function::Gt => order == Some(Ordering::Greater),
                    _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
                }))
            }
            Function::Json => Ok(Val::text(json(&values[0]))),
            Function::Lower | Function::Upper | Function::Title => {
                let Val::Text(text) = &values[0] else {
                    return Err(wants_text(&values[0]));
                };
                Ok(Val::text(match self {
                    Function::Lower => text.to_lowercase(),
                    Function::Upper => text.to_uppercase(),
                    _ => title(text),
                }))
            }
        }
    }
}

/// The first value that decides, else the last.
fn deciding(values: Vec<Val<'_>>, truth: bool) -> Val<'_> {
    let mut last = Val::Nil;
    for value in values {
        let decides = value.is_true() == truth;
        last = value;
        if decides {
            break;
        }
    }
    last
}

fn wants_text(value: &Val<'_>) -> String {
    match value {
        Val::Nil => "invalid value; expected string".to_owned(),
        value => format!(
            "wrong type for value; expected string; got {}",
            value.type_name()
        ),
    }
}

fn length(value: &Val<'_>) -> Result<Val<'static>, String> {
    let length = match value {
        Val::Text(text) => text.len(),
        Val::Number(number) => number.to_string().len(),
        Val::List(items) => items.len(),
        Val::Map(map) => map.len(),
        Val::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Val::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// A place in a list, below `end`.
fn place(value: &Val<'_>, end: usize) -> Result<usize, String> {
    match value {
        Val::Int(number) => usize::try_from(*number)
            .ok()
            .filter(|number| *number < end)
            .ok_or_else(|| format!("index out of range: {number}")),
        Val::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!(
            "cannot index slice/array with type {}",
            other.type_name()
        )),
    }
}

fn index(values: Vec<Val<'_>>) -> Result<Val<'_>, String> {
    let mut values = values.into_iter();
    let mut item = values.next().unwrap_or(Val::Nil);
    for key in values {
        item = match item {
            Val::List(items) => Val::of(&items[place(&key, items.len())?]),
            Val::Text(text) => {
                let at = place(&key, text.len())?;
                Val::Int(i64::from(text.as_bytes()[at]))
            }
            Val::Map(map) => match &key {
                Val::Text(key) => map.get(key.as_ref()).map_or(Val::Nil, Val::of),
                Val::Nil => return Err("value is nil; should be of type string".to_owned()),
                other => {
                    return Err(format!(
                        "value has type {}; should be string",
                        other.type_name()
                    ));
                }
            },
            Val::Nil => return Err("index of untyped nil".to_owned()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice(values: Vec<Val<'_>>) -> Result<Val<'_>, String> {
    let mut values = values.into_iter();
    let item = values.next().unwrap_or(Val::Nil);
    let bounds: Vec<Val<'_>> = values.collect();
    if bounds.len() > 2 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match &item {
        Val::List(items) => items.len(),
        Val::Text(text) => text.len(),
        Val::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |at: usize, usual: usize| match bounds.get(at) {
        Some(value) => place(value, length + 1),
        None => Ok(usual),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match item {
        Val::List(items) => Val::List(&items[from..to]),
        Val::Text(text) => Val::text(String::from_utf8_lossy(&text.as_bytes()[from..to])),
        other => other,
    })
}

/// The kinds that Go compares with each other.
#[derive(PartialEq, Eq)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
}

fn basic(value: &Val<'_>) -> Result<Basic, String> {
    match value {
        Val::Bool(_) => Ok(Basic::Bool),
        Val::Int(_) => Ok(Basic::Int),
        Val::Float(_) => Ok(Basic::Float),
        Val::Text(_) | Val::Number(_) => Ok(Basic::Text),
        Val::Nil | Val::List(_) | Val::Map(_) => Err("invalid type for comparison".to_owned()),
    }
}

/// Whether the first equals one of the others.
fn equal(values: &[Val<'_>]) -> Result<bool, String> {
    let (first, others) = match values {
        [] | [_] => return Err("missing argument for comparison".to_owned()),
        [first, others @ ..] => (first, others),
    };
    for other in others {
        let is_equal = match (first, other) {
            (Val::Nil, Val::Nil) => true,
            (Val::Nil, _) | (_, Val::Nil) => false,
            (Val::List(_) | Val::Map(_), _) | (_, Val::List(_) | Val::Map(_)) => {
                let kind = if matches!(first, Val::List(_) | Val::Map(_)) {
                    first
                } else {
                    other
                };
                return Err(format!("non-comparable type: {}", kind.type_name()));
            }
            (first, other) => order(first, other)? == Some(Ordering::Equal),
        };
        if is_equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn order(one: &Val<'_>, other: &Val<'_>) -> Result<Option<Ordering>, String> {
    if basic(one)? != basic(other)? {
        return Err("incompatible types for comparison".to_owned());
    }
    Ok(match (one, other) {
        (Val::Bool(one), Val::Bool(other)) => Some(one.cmp(other)),
        (Val::Int(one), Val::Int(other)) => Some(one.cmp(other)),
        (Val::Float(one), Val::Float(other)) => one.partial_cmp(other),
        (one, other) => one.as_text().partial_cmp(&other.as_text()),
    })
}

/// As Go's encoder writes it: on one line, keys sorted, `<`, `>` and `&` escaped, a line end behind it.
fn json(value: &Val<'_>) -> String {
    let mut text = value.to_json().to_string();
    for (from, to) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        text = text.replace(from, to);
    }
    text.push('\n');
    text
}

/// The first letter of every word in upper case, the others as they are.
fn title(text: &str) -> String {
    let mut made = String::new();
    let mut begins = true;
    for c in text.chars() {
        if begins && c.is_alphanumeric() {
            made.extend(c.to_uppercase());
        } else {
            made.push(c);
        }
        begins = !(c.is_alphanumeric() || matches!(c, '_' | '\'' | '.'));
    }
    made
}

fn html(text: &str) -> String {
    let mut made = String::new();
    for c in text.chars() {
        match c {
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '&' => made.push_str("&amp;"),
            '"' => made.push_str("&#34;"),
            '\'' => made.push_str("&#39;"),
            '\0' => made.push('\u{fffd}'),
            c => made.push(c),
        }
    }
    made
}

fn js(text: &str) -> String {
    let mut made = String::new();
    for c in text.chars() {
        match c {
            '\\' => made.push_str("\\\\"),
            '\'' => made.push_str("\\'"),
            '"' => made.push_str("\\\""),
            '<' | '>' | '&' | '=' => made.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => made.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => made.push(c),
        }
    }
    made
}

fn url_query(text: &str) -> String {
    let mut made = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                made.push(char::from(byte));
            }
            b' ' => made.push('+'),
            byte => made.push_str(&format!("%{byte:02X}")),
        }
    }
    made
}
