//! From the lines of a data set to questions, by a task's templates.
//!
//! Context: `doc_to_text`. Choices: the list that `doc_to_choice` gives. Right one: `doc_to_target`, an index or the text of a choice;
//! digits are an index where a template gives them, as in the harness, and a text where a field holds them
//! (SocialIQA and WinoGrande count from 1, ARC's keys are labels: a wrong answer would be taken in silence).
//! With `doc_to_continuation`, choice `i` is scored as context `doc_to_text + choice i`, continuation the same for all.

use std::collections::BTreeSet;
use std::path::Path;

use minijinja::Environment;
use minijinja::value::{Value, ValueKind};
use serde_json::Value as Json;

use super::error::{DataError, quote};
use super::jsonl::{self, Row};
use super::question::{Choice, Question};
use super::task::{Split, Task};
use super::template::{Said, environment, message};
use super::tokenizer_check::kind;

impl Task {
    /// The questions of `split`, from the folder that holds all tasks.
    ///
    /// # Errors
    /// A split the task lacks; a missing or empty file; the first bad line, with its field.
    pub fn questions(&self, tasks: &Path, split: Split) -> Result<Vec<Question>, DataError> {
        let file = self.file(tasks, split)?;
        let environment = environment();
        let reader = Reader::new(self, &environment, &file)?;
        jsonl::read(&file)?.iter().map(|row| reader.question(row)).collect()
    }
}

/// A task's key, compiled, and the fields that it reads.
struct Key<'a> {
    name: &'static str,
    said: Said<'a>,
    fields: BTreeSet<String>,
}

/// A task's templates.
struct Reader<'a> {
    file: &'a Path,
    delimiter: &'a str,
    environment: &'a Environment<'a>,
    text: Key<'a>,
    continuation: Option<Key<'a>>,
    choice: Key<'a>,
    target: Key<'a>,
}

impl<'a> Reader<'a> {
    fn new(task: &'a Task, environment: &'a Environment<'a>, file: &'a Path) -> Result<Self, DataError> {
        let key = |name, said: Result<Said<'a>, minijinja::Error>| match said {
            Ok(said) => Ok(Key { name, fields: said.fields(), said }),
            Err(error) => {
                Err(DataError::Render { file: file.to_owned(), line: 0, key: name, message: message(&error) })
            }
        };
        let continuation = task.doc_to_continuation.as_deref();
        let continuation = continuation.map(|text| key("doc_to_continuation", Said::text(environment, text)));
        Ok(Self {
            file,
            delimiter: &task.target_delimiter,
            environment,
            text: key("doc_to_text", Said::text(environment, &task.doc_to_text))?,
            continuation: continuation.transpose()?,
            choice: key("doc_to_choice", Said::value(environment, &task.doc_to_choice))?,
            target: key("doc_to_target", Said::value(environment, &task.doc_to_target))?,
        })
    }

    fn question(&self, row: &Row) -> Result<Question, DataError> {
        let context = self.rendered(&self.text, row)?;
        let answers = self.answers(row)?;
        let gold = self.gold(row, &answers)?;
        let continuation = match &self.continuation {
            Some(key) => Some(self.rendered(key, row)?),
            None => None,
        };
        let choice = |answer: String| match &continuation {
            Some(end) => Choice {
                context: format!("{context}{answer}"),
                continuation: format!("{}{end}", self.delimiter),
                characters: end.chars().count(),
            },
            None => Choice {
                context: context.clone(),
                continuation: format!("{}{answer}", self.delimiter),
                characters: answer.chars().count(),
            },
        };
        let id = row.fields.get("id").and_then(Json::as_str).map_or_else(|| row.line.to_string(), str::to_owned);
        Ok(Question { id, choices: answers.into_iter().map(choice).collect(), gold })
    }

    fn rendered(&self, key: &Key<'_>, row: &Row) -> Result<String, DataError> {
        for name in &key.fields {
            match row.fields.get(name) {
                Some(Json::String(text)) if !text.contains('\0') => {}
                // Of an object a template takes a part.
                Some(Json::Object(_)) => {}
                other => return Err(self.field(row, name, kind(other), "text without NUL")),
            }
        }
        if let Said::Field(name, _) = &key.said
            && let Some(other) = row.fields.get(*name).filter(|field| !field.is_string())
        {
            return Err(self.field(row, name, kind(Some(other)), "text without NUL"));
        }
        let value = self.value(&key.said, key, row)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.contains('\0') {
            return Err(self.field(row, key.name, quote(&text), "text without NUL"));
        }
        Ok(text)
    }

    /// The value of a key for a line.
    fn value(&self, said: &Said<'_>, key: &Key<'_>, row: &Row) -> Result<Value, DataError> {
        let failed = |error| self.render(row, key.name, &error);
        match said {
            Said::Field(name, otherwise) => match row.fields.get(*name) {
                Some(field) => Ok(Value::from_serialize(field)),
                None => self.value(otherwise, key, row),
            },
            Said::Value { expression, .. } => expression.eval(&row.fields).map_err(failed),
            Said::Text(template) => template.render(&row.fields).map(Value::from).map_err(failed),
        }
    }

    fn answers(&self, row: &Row) -> Result<Vec<String>, DataError> {
        let key = &self.choice;
        for name in &key.fields {
            let is_text = |value: &Json| value.as_str().is_some_and(|text| !text.contains('\0'));
            match row.fields.get(name) {
                Some(Json::Array(items)) => {
                    if let Some(bad) = items.iter().find(|item| !is_text(item) && !item.is_object()) {
                        let found = format!("{} in the list", kind(Some(bad)));
                        return Err(self.field(row, name, found, "a list of texts without NUL"));
                    }
                }
                Some(Json::Object(_)) if !matches!(key.said, Said::Field(..)) => {}
                Some(object @ Json::Object(_)) => {
                    let expected = "text, or a list of texts; for ARC's lines write \"{{choices.text}}\"";
                    return Err(self.field(row, name, kind(Some(object)), expected));
                }
                Some(value) if is_text(value) => {}
                other => return Err(self.field(row, name, kind(other), "text, or a list of texts")),
            }
        }
        let mut list = self.value(&key.said, key, row)?;
        if let (Said::Text(_), Some(text)) = (&key.said, list.as_str()) {
            // `ast.literal_eval` of the harness: a list in Python's notation is one in Jinja's.
            let evaluated = self.environment.compile_expression(text).and_then(|literal| literal.eval(()));
            list = evaluated.map_err(|error| self.render(row, key.name, &error))?;
        }
        match texts(&list) {
            Some(texts) if texts.len() >= 2 => Ok(texts),
            Some(texts) => Err(self.field(row, key.name, format!("{} choices", texts.len()), "at least 2")),
            None => Err(self.field(row, key.name, quote(&list.to_string()), "a list of texts")),
        }
    }

    /// An index, or the text of one of the choices.
    fn gold(&self, row: &Row, answers: &[String]) -> Result<usize, DataError> {
        let key = &self.target;
        let named = key.fields.first().map_or(key.name, String::as_str);
        for name in &key.fields {
            if matches!(row.fields.get(name), None | Some(Json::Null)) {
                let found = kind(row.fields.get(name));
                return Err(self.field(row, name, found, "the right choice: its index or text"));
            }
        }
        let value = self.value(&key.said, key, row)?;
        let position = |text: &str| answers.iter().position(|answer| answer == text);
        let index = match (&key.said, value.as_str()) {
            (_, None) => i64::try_from(value.clone()).ok().and_then(|index| usize::try_from(index).ok()),
            (Said::Field(..), Some(text)) => position(text),
            (Said::Value { braced: false, .. }, Some(text)) => position(text).or_else(|| text.parse().ok()),
            (_, Some(text)) => text.parse().ok().or_else(|| position(text)),
        };
        let last = answers.len().saturating_sub(1);
        let digits =
            matches!(key.said, Said::Field(..)) && value.as_str().is_some_and(|text| text.parse::<usize>().is_ok());
        match index {
            Some(index) if index < answers.len() => Ok(index),
            _ if digits => {
                let found = format!("the text {}", shown_value(&value));
                let expected = format!(
                    "the text of a choice, or an index from 0 to {last} as a number. If the text is an index, write \"{{{{{named}}}}}\"; \
                     if it counts from 1, \"{{{{{named}|int - 1}}}}\"; if it is a label, \"{{{{choices.label.index({named})}}}}\""
                );
                Err(self.field(row, named, found, expected))
            }
            _ => Err(self.field(row, named, shown_value(&value), format!("a choice, 0 to {last}"))),
        }
    }

    fn field(&self, row: &Row, field: &str, found: impl Into<String>, expected: impl Into<String>) -> DataError {
        DataError::Field {
            file: self.file.to_owned(),
            line: row.line,
            field: field.to_owned(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    fn render(&self, row: &Row, key: &'static str, error: &minijinja::Error) -> DataError {
        DataError::Render { file: self.file.to_owned(), line: row.line, key, message: message(error) }
    }
}

/// The items of a list, where all are texts without NUL.
fn texts(list: &Value) -> Option<Vec<String>> {
    if !matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return None;
    }
    let text = |item: Value| item.as_str().filter(|text| !text.contains('\0')).map(str::to_owned);
    list.try_iter().ok()?.map(text).collect()
}

fn shown_value(value: &Value) -> String {
    match value.kind() {
        ValueKind::Number => format!("the number {value}"),
        _ => quote(&value.to_string()),
    }
}
