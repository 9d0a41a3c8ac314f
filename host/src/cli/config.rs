//! `config validate|show|schema`.

use super::args::{ConfigVerb, Global};
use super::data::check_data;
use super::output::Output;
use super::session;
use super::strategies::{ALL, check_strategies};
use host::config::{PathNeed, show};
use host::pipeline::run::registry;
use serde_json::json;

/// Runs a verb about configs.
pub fn config(verb: &ConfigVerb, global: &Global, output: Output) -> anyhow::Result<()> {
    match verb {
        ConfigVerb::Schema => output.text(&serde_json::to_string_pretty(&show::schema())?),
        ConfigVerb::Show(args) => {
            let config = session::load(args, global)?;
            let text = config.to_toml()?;
            output.result(&config, || text.trim_end().to_owned())
        }
        ConfigVerb::Validate(args) => {
            let config = session::load(args, global)?;
            let needs = [PathNeed::Model, PathNeed::Data, PathNeed::PublicText, PathNeed::Evaluate];
            needs.iter().try_for_each(|need| config.require(*need))?;
            check_data(&config, &needs)?;
            check_strategies(&config, &mut registry(&config, &global.plugin_path)?, ALL)?;
            let digest = config.digest()?;
            let value = json!({ "valid": true, "config": args.config, "sha256": digest });
            output.result(&value, || format!("{}: valid, sha256 {digest}", args.config.display()))
        }
    }
}
