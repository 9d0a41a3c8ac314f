//! Options: a closed object schema with described keys, defaults that work, and refusals that name the key.

use crate::subject::{Check, Outcome, Session, Subject, ensure};
use scaleot_plugin_api::ErrorCode;
use serde_json::{Map, Value, json};

pub(crate) const CHECKS: &[Check] = &[
    ("has a closed object schema", schema),
    ("describes every option", descriptions),
    ("can be made with its defaults", defaults),
    ("refuses an unknown option by name", unknown),
    ("refuses a value of the wrong type by its option's name", wrong_type),
    ("refuses a value out of range by its option's name", out_of_range),
];

/// A value of no type that an option might have.
fn misfit() -> Value {
    json!([[{ "no such": "value" }]])
}

fn properties<'a>(subject: &'a Subject) -> Option<&'a Map<String, Value>> {
    subject.record.options.get("properties").and_then(Value::as_object)
}

fn schema(subject: &Subject) -> Outcome {
    let options = &subject.record.options;
    ensure(options.get("type") == Some(&json!("object")), || format!("its type is {:?}", options.get("type")))?;
    ensure(options.get("additionalProperties") == Some(&json!(false)), || {
        "it leaves room for unknown keys: put #[serde(deny_unknown_fields, default)] on the options".into()
    })
}

fn descriptions(subject: &Subject) -> Outcome {
    let described = |schema: &Value| schema.get("description").is_some_and(Value::is_string);
    properties(subject).into_iter().flatten().try_for_each(|(name, schema)| {
        ensure(described(schema), || format!("{name} has no description: write a doc comment"))
    })
}

fn defaults(subject: &Subject) -> Outcome {
    Session::create(subject.module, &subject.record.name, "{}")?;
    subject.session()?;
    Ok(())
}

fn unknown(subject: &Subject) -> Outcome {
    refused(subject, "no-such-option", &json!(1))
}

fn wrong_type(subject: &Subject) -> Outcome {
    let any = |schema: &Value| schema == &json!(true) || schema == &json!({});
    let mut typed = properties(subject).into_iter().flatten().filter(|(_, schema)| !any(schema));
    typed.try_for_each(|(name, _)| refused(subject, name, &misfit()))
}

fn out_of_range(subject: &Subject) -> Outcome {
    let mut all = properties(subject).into_iter().flatten();
    all.try_for_each(|(name, schema)| outside(schema).iter().try_for_each(|value| refused(subject, name, value)))
}

/// Numbers just outside the bounds of a schema.
fn outside(schema: &Value) -> Vec<Value> {
    let bounds = [("minimum", -1.0), ("maximum", 1.0), ("exclusiveMinimum", 0.0), ("exclusiveMaximum", 0.0)];
    let integer = schema.to_string().contains("\"integer\"");
    let beyond = |(bound, step): (&str, f64)| {
        let number = schema.get(bound)?.as_f64()? + step;
        Some(if integer { json!(number as i64) } else { json!(number) })
    };
    bounds.into_iter().filter_map(beyond).collect()
}

fn refused(subject: &Subject, option: &str, value: &Value) -> Outcome {
    let mut options = subject.options.clone();
    if let Some(options) = options.as_object_mut() {
        options.insert(option.into(), value.clone());
    }
    match Session::create(subject.module, &subject.record.name, &options.to_string()) {
        Ok(_) => Err(format!("{option} = {value} was accepted").into()),
        Err(error) => ensure(error.code == ErrorCode::Options && error.message.contains(option), || {
            format!("the refusal of {option} = {value} is {error:?}, expected Options and the option's name")
        }),
    }
}
