//! Jinja templates of a task file as lm-evaluation-harness 0.4.13 reads them, with Python's methods of strings, lists and dictionaries.
//!
//! Strict: a name that a question lacks is an error, never an empty string.
//! A string that is the name of a field means that field; `{{ … }}` alone means its value; other templates mean their text.

use std::collections::BTreeSet;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, State, Template, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;

/// An environment in which the harness's templates can be pasted unchanged.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.set_unknown_method_callback(method);
    environment
}

/// Python's methods; `index` is the one of them that the harness's templates call and the library lacks.
fn method(state: &State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let absent = |what: &Value| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("`index`: {} is not in {}", value_text(what), value_text(value)),
        )
    };
    match (name, value.kind(), arguments) {
        ("index", ValueKind::Seq, [what]) => {
            let place = value.try_iter()?.position(|item| item == *what);
            place.map(Value::from).ok_or_else(|| absent(what))
        }
        ("index", ValueKind::String, [what]) => {
            let before = value.as_str().zip(what.as_str()).and_then(|(text, part)| text.split_once(part));
            // Positions of Python's strings are characters.
            before.map(|(before, _)| Value::from(before.chars().count())).ok_or_else(|| absent(what))
        }
        _ => unknown_method_callback(state, value, name, arguments),
    }
}

fn value_text(value: &Value) -> String {
    super::error::quote(&value.to_string())
}

/// The value of a key of a task file, compiled.
pub(crate) enum Said<'a> {
    /// `question`: a field, wherever a line has one of that name.
    Field(&'a str, Box<Self>),
    /// `{{ choices.text }}`, or an expression without its braces.
    Value { expression: Expression<'a, 'a>, braced: bool },
    /// Anything else with braces in it.
    Text(Template<'a, 'a>),
}

impl<'a> Said<'a> {
    /// A key whose value is a text: what has no braces is that text.
    pub(crate) fn text(environment: &'a Environment<'a>, text: &'a str) -> Result<Self, Error> {
        Ok(named(text, Self::Text(environment.template_from_str(text)?)))
    }

    /// A key whose value may be a list or a number: what has no braces is an expression.
    pub(crate) fn value(environment: &'a Environment<'a>, text: &'a str) -> Result<Self, Error> {
        let trimmed = text.trim();
        let inner = trimmed.strip_prefix("{{").and_then(|inner| inner.strip_suffix("}}"));
        let alone = inner.filter(|inner| !["{{", "}}", "{%"].iter().any(|mark| inner.contains(mark)));
        Ok(match alone {
            Some(inner) => Self::Value { expression: environment.compile_expression(inner)?, braced: true },
            None if ["{{", "{%"].iter().any(|mark| trimmed.contains(mark)) => {
                Self::Text(environment.template_from_str(text)?)
            }
            None => named(trimmed, Self::Value { expression: environment.compile_expression(trimmed)?, braced: false }),
        })
    }

    /// The fields of a line that it reads.
    pub(crate) fn fields(&self) -> BTreeSet<String> {
        let names = match self {
            Self::Field(_, otherwise) => return otherwise.fields(),
            Self::Value { expression, .. } => expression.undeclared_variables(false),
            Self::Text(template) => template.undeclared_variables(false),
        };
        // Functions such as `range` are globals, not fields.
        names.into_iter().filter(|name| !matches!(name.as_str(), "range" | "dict" | "namespace" | "debug")).collect()
    }
}

/// A plain name may be a field's.
fn named<'a>(text: &'a str, otherwise: Said<'a>) -> Said<'a> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain { Said::Field(text, Box::new(otherwise)) } else { otherwise }
}

/// The message of an error with its cause, without the library's file and line noise.
pub(crate) fn message(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
