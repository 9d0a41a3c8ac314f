//! Jinja templates of a task file, with the string methods that lm-evaluation-harness templates use.
//!
//! Strict: a name that a question lacks is an error, never an empty string.

use std::collections::BTreeSet;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// An environment in which the harness's templates can be pasted unchanged.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.set_unknown_method_callback(|_, value, method, arguments| string_method(value, method, arguments));
    environment
}

/// Python's `str` methods, as far as task templates go.
fn string_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let unknown = || {
        Error::new(
            ErrorKind::UnknownMethod,
            format!("`{method}`: known are strip, lstrip, rstrip, lower, upper, split, replace"),
        )
    };
    let text = value.as_str().ok_or_else(unknown)?;
    let argument = |index: usize| arguments.get(index).and_then(Value::as_str);
    Ok(match (method, argument(0), argument(1)) {
        ("strip", None, _) => Value::from(text.trim()),
        ("lstrip", None, _) => Value::from(text.trim_start()),
        ("rstrip", None, _) => Value::from(text.trim_end()),
        ("lower", None, _) => Value::from(text.to_lowercase()),
        ("upper", None, _) => Value::from(text.to_uppercase()),
        ("split", Some(mark), _) if !mark.is_empty() => text.split(mark).collect(),
        ("replace", Some(old), Some(new)) => Value::from(text.replace(old, new)),
        _ => return Err(unknown()),
    })
}

/// An expression, also when it is written in the harness's way, `{{ … }}`.
pub(crate) fn expression(text: &str) -> &str {
    let trimmed = text.trim();
    match trimmed.strip_prefix("{{").and_then(|inner| inner.strip_suffix("}}")) {
        Some(inner) => inner.trim(),
        None => trimmed,
    }
}

/// The fields of a question that a template or expression reads.
pub(crate) fn fields(names: std::collections::HashSet<String>) -> BTreeSet<String> {
    // Functions such as `range` are globals, not fields.
    names.into_iter().filter(|name| !matches!(name.as_str(), "range" | "dict" | "namespace" | "debug")).collect()
}

/// The message of an error with its cause, without the library's file and line noise.
pub(crate) fn message(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
