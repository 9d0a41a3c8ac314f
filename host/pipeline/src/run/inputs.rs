//! The inputs of a stage as a digest: two runs whose digests are equal may share the stage.
//!
//! Rule: contents, not paths; effective seeds, not where they were written; and no key that the result does not feel
//! (`checkpoint_every`, the order of `evaluate.columns`, `block_length` where there is no text).

use super::core::RunCore;
use crate::error::StageError;
use crate::load::companions;
use crate::stage::Stage;
use scaleot_config::TrainingSection;
use scaleot_data::{DataError, Split, TaskSet};
use scaleot_plugin_api::StrategyKind;
use scaleot_plugins::PluginSource;
use scaleot_store::{Digest, digest_file};
use scaleot_tensor::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl RunCore {
    /// The digest of a stage's inputs.
    pub(crate) fn inputs(&self, stage: Stage, parts: Value) -> String {
        // What narrow models came to before their layers trained in fp32 is not what they come to now.
        let narrow = if self.placement.dtype == Dtype::F32 { "" } else { ", trained in fp32" };
        let dtype = format!("{:?}{narrow}", self.placement.dtype);
        Digest::of(json!([stage.label(), dtype, parts]).to_string().as_bytes()).to_string()
    }

    /// Everything about a strategy that its result depends on.
    pub(crate) fn strategy_inputs(&mut self, kind: StrategyKind) -> Result<Value, StageError> {
        let Some((name, _)) = self.config.strategy(kind) else { return Ok(Value::Null) };
        let (name, plugin) = (name.to_string(), name.plugin().to_owned());
        let code = match &self.registry.plugin(&plugin)?.source {
            PluginSource::BuiltIn => env!("CARGO_PKG_VERSION").to_owned(),
            PluginSource::Library { sha256, .. } => sha256.clone(),
        };
        Ok(json!({ "use": name, "options": self.config.options_json(kind), "code": code }))
    }

    /// As [`strategy_inputs`](Self::strategy_inputs) of the replacer, without options that only its choice of layers reads:
    /// one importance stage serves every choice. The options' schema marks them with `"x-read-by": "select"`.
    pub(crate) fn substitute_inputs(&mut self) -> Result<Value, StageError> {
        let mut inputs = self.strategy_inputs(StrategyKind::Replace)?;
        let Some(name) = inputs.get("use").and_then(Value::as_str).map(str::to_owned) else { return Ok(inputs) };
        let schema = self.registry.strategy(&name, StrategyKind::Replace)?.options;
        let read_by_select = |option: &str| {
            let property = schema.get("properties").and_then(|properties| properties.get(option));
            property.and_then(|property| property.get("x-read-by")).and_then(Value::as_str) == Some("select")
        };
        if let Some(options) = inputs.get_mut("options").and_then(Value::as_object_mut) {
            options.retain(|option, _| !read_by_select(option));
        }
        Ok(inputs)
    }

    /// The files that an export takes along as they are, where there is an export; those of the fingerprint are said already.
    pub(crate) fn companion_inputs(&self) -> Result<Option<Value>, StageError> {
        if !self.config.plug_in.export {
            return Ok(None);
        }
        let mut found = BTreeMap::new();
        for name in companions(&self.config.model.path)?.into_iter().filter(|name| name != "tokenizer.json") {
            let digest = digest(&self.config.model.path.join(&name))?;
            found.insert(name, digest);
        }
        Ok((!found.is_empty()).then(|| json!(found)))
    }

    /// The owner's public text and how it is cut; nothing where there is none.
    pub(crate) fn public_text_inputs(&self) -> Result<Value, StageError> {
        let data = &self.config.public_data;
        if data.text.is_empty() {
            return Ok(Value::Null);
        }
        Ok(json!([digests(&data.text)?, data.block_length]))
    }

    /// The data owner's pairs or text, and the training on them.
    pub(crate) fn training_inputs(&self, section: &TrainingSection) -> Result<Value, StageError> {
        let data = &self.config.data;
        let on = match &data.task {
            Some(name) => {
                let sets = [Split::Train, Split::Validation].map(|split| task_inputs(name, &data.folder, split));
                let [train, validation] = sets;
                json!([train?, validation?, data.train_limit, data.validation_limit])
            }
            None => json!([digests(&data.text)?, data.block_length]),
        };
        Ok(json!([on, self.recipe(section)]))
    }

    /// The settings of a training, as far as its result feels them.
    pub(crate) fn recipe(&self, section: &TrainingSection) -> Value {
        let mut training = json!(section);
        if let Some(keys) = training.as_object_mut() {
            // A resumed training gives the same bytes wherever its checkpoints stood.
            keys.remove("checkpoint_every");
            // The same for steps of several batches, which were normalised batch by batch.
            if section.accumulation.get() > 1 {
                keys.insert("step".to_owned(), json!("normalised by its targets"));
            }
            keys.insert("seed".to_owned(), json!(self.config.seed_of(section)));
        }
        training
    }

    /// The questions and texts of the table, and how many of them in one pass.
    pub(crate) fn evaluation_inputs(&self) -> Result<Value, StageError> {
        let config = &self.config.evaluate;
        let split = config.split;
        let tasks = self.evaluated_tasks().iter().map(|name| task_inputs(name, &self.config.data.folder, split));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        Ok(json!([tasks, digests(&config.text)?, config.block_length, config.limit, config.batch_tokens]))
    }

    /// The tasks of `evaluate`, or else that of `data`.
    pub(crate) fn evaluated_tasks(&self) -> &[String] {
        let config = &self.config;
        if config.evaluate.tasks.is_empty() { config.data.task.as_slice() } else { &config.evaluate.tasks }
    }
}

/// A task's definition and the questions of one split.
fn task_inputs(name: &str, folder: &Path, split: Split) -> Result<Value, StageError> {
    let tasks = TaskSet::with_folder(folder)?;
    let task = tasks.get(name)?;
    let file = task.file(folder, split)?;
    // Said as the reader of the questions says it.
    std::fs::metadata(&file).map_err(|source| DataError::Read { file: file.clone(), source })?;
    Ok(json!([task, digest(&file)?]))
}

fn digests(files: &[PathBuf]) -> Result<Vec<String>, StageError> {
    files.iter().map(|file| digest(file)).collect()
}

fn digest(file: &Path) -> Result<String, StageError> {
    Ok(digest_file(file).map(|(digest, _)| digest.to_string())?)
}
