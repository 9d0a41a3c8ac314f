//! From the lines of a data set to questions, by a task's templates.
//!
//! Context: `doc_to_text`. Choices: the list that `doc_to_choice` gives. Right one: `doc_to_target`.
//! With `doc_to_continuation`, choice `i` is scored as context `doc_to_text + choice i`, continuation the same for all.

use std::collections::BTreeSet;
use std::path::Path;

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Expression, Template};
use serde_json::Value as Json;

use super::error::{DataError, shown};
use super::jsonl::{self, Row};
use super::question::{Choice, Question};
use super::task::{Split, Task};
use super::template::{environment, expression, fields, message};
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

/// A task's templates, compiled, and the fields that each reads.
struct Reader<'a> {
    file: &'a Path,
    delimiter: &'a str,
    text: (Template<'a, 'a>, BTreeSet<String>),
    continuation: Option<(Template<'a, 'a>, BTreeSet<String>)>,
    choice: (Expression<'a, 'a>, BTreeSet<String>),
    target: (Expression<'a, 'a>, BTreeSet<String>),
}

impl<'a> Reader<'a> {
    fn new(task: &'a Task, environment: &'a Environment<'a>, file: &'a Path) -> Result<Self, DataError> {
        let refuse = |key| {
            move |error: minijinja::Error| DataError::Render {
                file: file.to_owned(),
                line: 0,
                key,
                message: message(&error),
            }
        };
        let template = |key, text: &'a str| {
            let template = environment.template_from_str(text).map_err(refuse(key))?;
            let names = fields(template.undeclared_variables(false));
            Ok::<_, DataError>((template, names))
        };
        let value = |key, text: &'a str| {
            let value = environment.compile_expression(expression(text)).map_err(refuse(key))?;
            let names = fields(value.undeclared_variables(false));
            Ok::<_, DataError>((value, names))
        };
        Ok(Self {
            file,
            delimiter: &task.target_delimiter,
            text: template("doc_to_text", &task.doc_to_text)?,
            continuation: task
                .doc_to_continuation
                .as_deref()
                .map(|text| template("doc_to_continuation", text))
                .transpose()?,
            choice: value("doc_to_choice", &task.doc_to_choice)?,
            target: value("doc_to_target", &task.doc_to_target)?,
        })
    }

    fn question(&self, row: &Row) -> Result<Question, DataError> {
        let context = self.rendered("doc_to_text", &self.text, row)?;
        let answers = self.answers(row)?;
        let gold = self.gold(row, &answers)?;
        let continuation = match &self.continuation {
            Some(template) => Some(self.rendered("doc_to_continuation", template, row)?),
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

    fn rendered(
        &self,
        key: &'static str,
        (template, names): &(Template<'_, '_>, BTreeSet<String>),
        row: &Row,
    ) -> Result<String, DataError> {
        for name in names {
            match row.fields.get(name) {
                Some(Json::String(text)) if !text.contains('\0') => {}
                other => return Err(self.field(row, name, kind(other), "text without NUL")),
            }
        }
        template.render(&row.fields).map_err(|error| self.render(row, key, &error))
    }

    fn answers(&self, row: &Row) -> Result<Vec<String>, DataError> {
        let (choice, names) = &self.choice;
        for name in names {
            let is_text = |value: &Json| value.as_str().is_some_and(|text| !text.contains('\0'));
            match row.fields.get(name) {
                Some(Json::Array(items)) => {
                    if let Some(bad) = items.iter().find(|item| !is_text(item)) {
                        return Err(self.field(
                            row,
                            name,
                            format!("{} in the list", kind(Some(bad))),
                            "a list of texts without NUL",
                        ));
                    }
                }
                Some(value) if is_text(value) => {}
                other => return Err(self.field(row, name, kind(other), "text, or a list of texts")),
            }
        }
        let list = choice.eval(&row.fields).map_err(|error| self.render(row, "doc_to_choice", &error))?;
        let texts: Option<Vec<String>> = match list.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                list.try_iter().ok().and_then(|items| items.map(|item| item.as_str().map(str::to_owned)).collect())
            }
            _ => None,
        };
        match texts {
            Some(texts) if texts.len() >= 2 => Ok(texts),
            Some(texts) => Err(self.field(row, "doc_to_choice", format!("{} choices", texts.len()), "at least 2")),
            None => Err(self.field(row, "doc_to_choice", shown(&list.to_string()), "a list of texts")),
        }
    }

    /// An index, or the text of one of the choices.
    fn gold(&self, row: &Row, answers: &[String]) -> Result<usize, DataError> {
        let (target, names) = &self.target;
        let named = names.first().map_or("doc_to_target", String::as_str);
        for name in names {
            match row.fields.get(name) {
                Some(Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Array(_)) => {}
                other => return Err(self.field(row, name, kind(other), "the right choice: its index or text")),
            }
        }
        let value = target.eval(&row.fields).map_err(|error| self.render(row, "doc_to_target", &error))?;
        let index = match value.as_str() {
            Some(text) => answers.iter().position(|answer| answer == text).or_else(|| text.parse().ok()),
            None => i64::try_from(value.clone()).ok().and_then(|index| usize::try_from(index).ok()),
        };
        match index {
            Some(index) if index < answers.len() => Ok(index),
            _ => Err(self.field(
                row,
                named,
                shown_value(&value),
                format!("a choice, 0 to {}", answers.len().saturating_sub(1)),
            )),
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

fn shown_value(value: &Value) -> String {
    match value.kind() {
        ValueKind::Number => format!("the number {value}"),
        _ => shown(&value.to_string()),
    }
}
