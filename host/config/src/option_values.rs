//! Values of a strategy's options: TOML as JSON, and the default of the schema where the config has none.

use scaleot_plugin_api::StrategyRecord;
use serde_json::Value as Json;
use toml::Table;

/// An option's value: the config's, or else the default of the strategy's schema.
pub(super) fn option_value(options: &Table, record: &StrategyRecord, option: &str) -> Option<Json> {
    let default = || record.options.get("properties")?.get(option)?.get("default").cloned();
    options.get(option).map(value_json).or_else(default)
}

pub(super) fn table_json(table: &Table) -> Json {
    Json::Object(table.iter().map(|(key, value)| (key.clone(), value_json(value))).collect())
}

fn value_json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        // Loading has refused what is not finite, which JSON cannot say.
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(value_json).collect(),
        toml::Value::Table(table) => table_json(table),
    }
}
