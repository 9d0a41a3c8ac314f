//! `config validate|show|schema`.

use super::args::{ConfigArgs, ConfigVerb, Global};
use super::failure::{ProgramError, VerbResult, stage};
use super::needs::{ALL, Needs};
use super::output::{Output, display_path, say};
use super::preflight::preflight;
use super::{session, suite};
use scaleot_config::{ConfigNeed, RunConfig, show};
use scaleot_pipeline::run::{read_data, read_public_text, registry};
use scaleot_suite::Suite;
use serde_json::json;

/// Runs a verb about configs.
pub fn config(verb: &ConfigVerb, global: &Global, output: Output) -> VerbResult<()> {
    match verb {
        ConfigVerb::Schema => output.text(&serde_json::to_string_pretty(&show::schema()).map_err(ProgramError::from)?),
        ConfigVerb::Show(args) => {
            let config = session::load(args, global)?;
            let text = config.to_toml()?;
            output.result(&config, || text.trim_end().to_owned())
        }
        ConfigVerb::Validate(args) if Suite::is_suite(&args.config) => validate_suite(args, global, output),
        ConfigVerb::Validate(args) => validate(args, global, output),
    }
}

/// Checks everything of a config that needs no work: the keys of each party, as far as the config has them.
fn validate(args: &ConfigArgs, global: &Global, output: Output) -> VerbResult<()> {
    let config = session::load(args, global)?;
    let (needs, unchecked) = checkable_needs(&config);
    for need in &needs {
        config.require(*need, "config validate")?;
    }
    let mut registry = registry(&config, &global.plugin_path)?;
    let has_model = needs.contains(&ConfigNeed::Model);
    let of_model: &[ConfigNeed] = if has_model { &[ConfigNeed::Model] } else { &[] };
    let needs = Needs { verb: "config validate", config: of_model, strategies: ALL };
    let checked = preflight(&config, &mut registry, needs)?;
    if let Some(model) = &checked.model {
        stage(read_data(&config, model))?;
        stage(read_public_text(&config, model))?;
    }
    let notices = checked.notices(&config);
    notices.iter().for_each(|notice| say(&format!("notice: {notice}")));
    let digest = config.digest()?;
    let value = json!({
        "valid": true, "config": display_path(&args.config), "sha256": digest, "notices": notices, "unchecked": unchecked,
    });
    output.result(&value, || {
        let unchecked: String = unchecked.iter().map(|line| format!("\nnot checked: {line}")).collect();
        format!("{}: valid, sha256 {digest}{unchecked}", args.config.display())
    })
}

/// The needs that a config's keys meet, and the checks that the missing ones made impossible.
fn checkable_needs(config: &RunConfig) -> (Vec<ConfigNeed>, Vec<&'static str>) {
    let mut needs = vec![ConfigNeed::PublicText, ConfigNeed::Evaluate];
    let mut unchecked = Vec::new();
    let mut part = |is_there: bool, need, otherwise| {
        if is_there { needs.push(need) } else { unchecked.push(otherwise) }
    };
    let model = "model.path is left out: whether layers, adapter, texts and questions fit the model";
    part(config.model.folder().is_some(), ConfigNeed::Model, model);
    let data = "data.task and data.text are left out: what is tuned on";
    part(config.data.task.is_some() || !config.data.text.is_empty(), ConfigNeed::Data, data);
    let replaced = "replace.ratio and replace.count are left out: how many layers give way";
    part(config.replace.ratio.is_some() || config.replace.count.is_some(), ConfigNeed::Replaced, replaced);
    (needs, unchecked)
}

fn validate_suite(args: &ConfigArgs, global: &Global, output: Output) -> VerbResult<()> {
    let cells = suite::validate(args, global)?;
    let value = json!({ "valid": true, "suite": display_path(&args.config), "cells": cells.len() });
    output.result(&value, || format!("{}: a valid suite of {} cells", args.config.display(), cells.len()))
}
