//! `plugin list|info|check`. A refused library is listed with its reason and stops nothing.

use super::args::{Global, PluginVerb};
use super::failure::{ProgramError, stage};
use super::output::{Output, table};
use host::fault::{ExitCode, escape, escape_to};
use host::plugins::{PluginSource, RegisteredPlugin, Registry, SearchPath};
use plugin_api::StrategyRecord;
use serde_json::{Value, json};

/// Runs a verb about plugins.
pub fn plugin(verb: &PluginVerb, global: &Global, output: Output) -> anyhow::Result<()> {
    let mut registry = stage(Registry::new(SearchPath::new(global.plugin_path.iter().cloned())))?;
    match verb {
        PluginVerb::List => list(&mut registry, output),
        PluginVerb::Info { name } => {
            let plugin = stage(registry.plugin(name))?;
            output.result(&json!({ "record": plugin.record, "source": source(plugin) }), || info(plugin))
        }
        PluginVerb::Check { name } => check(stage(registry.plugin(name))?, output),
    }
}

fn source(plugin: &RegisteredPlugin) -> Value {
    match &plugin.source {
        PluginSource::BuiltIn => json!({ "built_in": true }),
        PluginSource::Library { path, sha256 } => json!({ "path": path, "sha256": sha256 }),
    }
}

fn list(registry: &mut Registry, output: Output) -> anyhow::Result<()> {
    let refused = registry.load_all();
    let plugins: Vec<Value> = registry
        .plugins()
        .map(|plugin| json!({ "record": plugin.record, "source": source(plugin), "status": "ok" }))
        .collect();
    let reasons: Vec<String> = refused.iter().map(|fault| escape_to(&fault.to_string(), 1000)).collect();
    output.result(&json!({ "plugins": plugins, "refused": reasons }), || {
        let mut table = table(&["plugin", "version", "strategy", "for", "source", "status"]);
        for plugin in registry.plugins() {
            let (name, version) = (escape(&plugin.record.name), escape(&plugin.record.version));
            for strategy in &plugin.record.strategies {
                let strategy_name = escape(&strategy.name);
                let row = [&name, &version, &strategy_name, strategy.kind.as_str(), &plugin.source.to_string(), "ok"];
                table.add_row(row);
            }
        }
        let refused: String = reasons.iter().map(|reason| format!("\nrefused: {reason}")).collect();
        format!("{table}{refused}")
    })
}

fn info(plugin: &RegisteredPlugin) -> String {
    let record = &plugin.record;
    let mut page =
        format!("{} {}: {}\n{}", escape(&record.name), escape(&record.version), escape(&record.about), plugin.source);
    if let PluginSource::Library { sha256, .. } = &plugin.source {
        page += &format!("\npin it in a config: plugins.pins = {{ {} = \"{sha256}\" }}", escape(&record.name));
    }
    for strategy in &record.strategies {
        page +=
            &format!("\n\n{}/{} (for [{}])\n", escape(&record.name), escape(&strategy.name), strategy.kind.as_str());
        page += &escape_to(&strategy.about, 400);
        for requirement in &strategy.requires {
            page += &format!("\nneeds {}", escape(&requirement.to_string()));
        }
        page += &options(strategy);
    }
    page
}

/// The options of a strategy as its schema has them.
fn options(strategy: &StrategyRecord) -> String {
    let properties = strategy.options.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return "\nno options".to_owned();
    };
    let mut table = table(&["option", "takes", "default", "meaning"]);
    for (name, schema) in properties {
        let default = schema.get("default").map_or_else(|| "-".to_owned(), Value::to_string);
        let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        table.add_row([
            escape(name),
            escape(&takes(schema, &strategy.options)),
            escape(&default),
            // A doc comment's lines are one paragraph.
            escape_to(&meaning.replace('\n', " "), 400),
        ]);
    }
    format!("\n{table}")
}

/// What a property takes, in a few words: type, choices, range.
fn takes(schema: &Value, root: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let found = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or_else(String::new, |schema| takes(schema, root));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array()) {
        return choices.iter().map(|choice| takes(choice, root)).collect::<Vec<_>>().join(", ");
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        kind => kind.and_then(Value::as_str).unwrap_or("any").to_owned(),
    };
    let bound = |key: &str, sign: &str| schema.get(key).map(|bound| format!("{sign} {bound}"));
    let bounds =
        [bound("minimum", "≥"), bound("exclusiveMinimum", ">"), bound("maximum", "≤"), bound("exclusiveMaximum", "<")];
    [Some(kind)].into_iter().chain(bounds).flatten().collect::<Vec<_>>().join(" ")
}

/// The conformance checks of the contract, against a fake host.
fn check(plugin: &RegisteredPlugin, output: Output) -> anyhow::Result<()> {
    let verdicts = plugin.conformance();
    let broken = verdicts.iter().filter(|verdict| verdict.broken.is_some()).count();
    let value: Vec<Value> = verdicts
        .iter()
        .map(|verdict| json!({ "of": verdict.of, "check": verdict.check, "broken": verdict.broken }))
        .collect();
    output.result(&json!({ "plugin": plugin.record.name, "source": source(plugin), "checks": value }), || {
        let mut table = table(&["strategy", "promise", "verdict"]);
        for verdict in &verdicts {
            let found = verdict.broken.as_deref().map_or_else(|| "kept".to_owned(), |broken| escape_to(broken, 400));
            table.add_row([escape(&verdict.of), verdict.check.to_owned(), found]);
        }
        format!("{table}\n{} of {} promises kept", verdicts.len() - broken, verdicts.len())
    })?;
    if broken == 0 {
        return Ok(());
    }
    let what = format!("plugin {}: breaks {broken} of {} promises", escape(&plugin.record.name), verdicts.len());
    Err(ProgramError::Found(what, ExitCode::Plugin).into())
}
