//! `plugin list` and `info`: from manifests where there are some, so that looking at a plugin does not run it.

use super::{Output, source, tell};
use crate::failure::{VerbResult, stage};
use crate::output::table;
use scaleot_pipeline::report::fitted;
use scaleot_plugins::{OptionRow, PluginManifest, RegisteredPlugin, Registry, Standing, Surveyed, option_rows};
use scaleot_store::escape::{escape, escape_to};
use serde_json::{Value, json};

/// A strategy, from wherever it is known.
struct StrategyPage {
    name: String,
    kind: &'static str,
    about: String,
    requires: Vec<String>,
    declares: Vec<String>,
    options: Vec<OptionRow>,
}

/// A plugin, from wherever it is known.
struct Page {
    name: String,
    version: String,
    about: String,
    /// The place that it came from: `built in`, `project`, `--plugin-path` and so on.
    from: String,
    status: &'static str,
    /// Path and digest, for people.
    place: String,
    value: Value,
    strategies: Vec<StrategyPage>,
}

pub fn list(registry: &mut Registry, output: Output) -> VerbResult<()> {
    let surveyed = registry.survey();
    let built_in = registry.plugins().filter(|plugin| source(plugin).get("built_in").is_some());
    let mut pages: Vec<Page> = built_in.map(|plugin| loaded(plugin, "built in".to_owned())).collect();
    let (mut refused, mut hidden) = (Vec::new(), Vec::new());
    for Surveyed { found, standing } in surveyed {
        let from = found.origin.to_string();
        match standing {
            Standing::Loaded(name) => pages.extend(registry.registered(&name).map(|plugin| loaded(plugin, from))),
            Standing::Described(manifest, digest) => {
                pages.push(described(&manifest, from, found.path.display().to_string(), digest.to_string()));
            }
            Standing::Hidden(first) => {
                hidden.push(format!("{} ({from}): {} comes first", found.path.display(), first.display()));
            }
            Standing::Refused(fault) => refused.push(format!("{fault} ({from})")),
        }
    }
    let safe = |lines: &[String]| lines.iter().map(|line| escape_to(line, 1000)).collect::<Vec<_>>();
    let (refused, hidden) = (safe(&refused), safe(&hidden));
    let values: Vec<&Value> = pages.iter().map(|page| &page.value).collect();
    output.result(&json!({ "plugins": values, "refused": refused, "hidden": hidden }), || {
        let mut table = table(&["plugin", "version", "strategy", "for", "from", "status", "file"]);
        for page in &pages {
            for strategy in &page.strategies {
                let (name, version, strategy_name) =
                    (escape(&page.name), escape(&page.version), escape(&strategy.name));
                table.add_row([&name, &version, &strategy_name, strategy.kind, &page.from, page.status, &page.place]);
            }
        }
        let hidden: String = hidden.iter().map(|line| format!("\nhidden: {line}")).collect();
        let refused: String = refused.iter().map(|line| format!("\nrefused: {line}")).collect();
        format!("{}{hidden}{refused}", fitted(&mut table))
    })
}

pub fn info(registry: &mut Registry, name: &str, output: Output) -> VerbResult<()> {
    let page = match registry.registered(name) {
        Some(plugin) => loaded(plugin, "built in".to_owned()),
        None => {
            let Surveyed { found, standing } = stage(registry.look_up(name))?;
            tell(registry);
            let from = found.origin.to_string();
            match standing {
                Standing::Described(manifest, digest) => {
                    described(&manifest, from, found.path.display().to_string(), digest.to_string())
                }
                _ => loaded(stage(registry.plugin(name))?, from),
            }
        }
    };
    output.result(&page.value, || text(&page))
}

fn loaded(plugin: &RegisteredPlugin, from: String) -> Page {
    let record = &plugin.record;
    let built_in = from == "built in";
    let status = if built_in { "built in" } else { "loaded" };
    let strategies = record.strategies.iter().map(|strategy| StrategyPage {
        name: strategy.name.clone(),
        kind: strategy.kind.as_str(),
        about: strategy.about.clone(),
        requires: strategy.requires.iter().map(ToString::to_string).collect(),
        declares: strategy.declares.iter().map(ToString::to_string).collect(),
        options: option_rows(&strategy.options),
    });
    let mut value = json!({ "record": record, "source": source(plugin), "from": from, "status": status });
    let sha256 = value.pointer("/source/sha256").and_then(Value::as_str).map(str::to_owned);
    if let (Some(value), Some(sha256)) = (value.as_object_mut(), sha256) {
        value.insert("pin".to_owned(), json!({ &record.name: sha256 }));
    }
    Page {
        name: record.name.clone(),
        version: record.version.clone(),
        about: record.about.clone(),
        status,
        place: if built_in { String::new() } else { plugin.source.to_string() },
        strategies: strategies.collect(),
        from,
        value,
    }
}

fn described(manifest: &PluginManifest, from: String, path: String, sha256: String) -> Page {
    let strategies = manifest.strategies.iter().map(|strategy| StrategyPage {
        name: strategy.name.clone(),
        kind: strategy.kind.as_str(),
        about: strategy.about.clone(),
        // A manifest does not say; the library does when it is loaded.
        requires: Vec::new(),
        declares: Vec::new(),
        options: strategy.options.clone(),
    });
    let record = json!({
        "name": manifest.name, "version": manifest.version, "api_version": manifest.api, "about": manifest.about,
        "strategies": manifest.strategies,
    });
    let status = "not loaded";
    let value = json!({
        "record": record, "manifest": manifest, "source": { "path": path, "sha256": sha256 }, "from": from,
        "status": status, "pin": { &manifest.name: sha256 },
    });
    let paper = manifest.paper.as_ref().map(|paper| format!("\npaper {}", escape(paper))).unwrap_or_default();
    let libtorch = manifest.built_with.libtorch.as_ref();
    let libtorch = libtorch.map(|version| format!(" and libtorch {}", escape(version))).unwrap_or_default();
    let about = format!(
        "{}\npublisher {}, licence {}{paper}\nplugin API {}, built with rustc {}{libtorch} for {}",
        escape(&manifest.about),
        escape(&manifest.publisher),
        escape(&manifest.licence),
        escape(&manifest.api),
        escape(manifest.built_with.rustc.as_deref().unwrap_or("unknown")),
        escape(&manifest.built_with.target),
    );
    Page {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        about,
        status,
        place: format!("{path}, sha256 {}", sha256.get(..12).unwrap_or_default()),
        strategies: strategies.collect(),
        from,
        value,
    }
}

fn text(page: &Page) -> String {
    let (name, version) = (escape(&page.name), escape(&page.version));
    let about: Vec<String> = page.about.lines().map(|line| escape_to(line, 400)).collect();
    let mut text = format!("{name} {version}: {}\nfrom {}; {}", about.join("\n"), page.from, page.status);
    if let Some(sha256) = page.value.pointer("/source/sha256").and_then(Value::as_str) {
        text += &format!(": {}\npin it in a config: plugins.pins = {{ {name} = \"{sha256}\" }}", page.place);
    }
    for strategy in &page.strategies {
        text += &format!("\n\n{name}/{} (for [{}])\n", escape(&strategy.name), strategy.kind);
        text += &escape_to(&strategy.about, 400);
        for requirement in &strategy.requires {
            text += &format!("\nneeds {}", escape(requirement));
        }
        for declared in &strategy.declares {
            text += &format!("\n{}", escape(declared));
        }
        text += &options(&strategy.options);
    }
    text
}

fn options(rows: &[OptionRow]) -> String {
    if rows.is_empty() {
        return "\nno options".to_owned();
    }
    let mut table = table(&["option", "takes", "default", "meaning"]);
    for row in rows {
        let meaning = escape_to(&row.meaning, 400);
        table.add_row([escape(&row.name), escape(&row.takes), escape(&row.default), meaning]);
    }
    format!("\n{}", fitted(&mut table))
}
