//! The record of a plugin: names, versions, sentences.

use crate::subject::{Broken, Outcome, Session, ensure};
use scaleot_plugin_api::export::{API_VERSION, PluginModule_Ref};
use scaleot_plugin_api::{
    ErrorCode, Need, PLUGIN_NAME_RULE, PluginRecord, StrategyKind, StrategyRecord, Trait, is_plugin_name,
};
use std::collections::BTreeSet;

type RecordCheck = (&'static str, fn(PluginModule_Ref, &PluginRecord) -> Outcome);

pub(crate) const CHECKS: &[RecordCheck] = &[
    ("is built for this contract", version),
    ("has names of a-z, 0-9 and -", names),
    ("says in a sentence what it is", sentences),
    ("offers strategies of different names", distinct),
    ("refuses a strategy that it does not have", unknown_strategy),
    ("needs what there is, by options that it has", requirements),
    ("declares what there is, of its kind, by options that it has", declarations),
];

/// The record.
pub(crate) fn read(module: PluginModule_Ref) -> Result<PluginRecord, Broken> {
    let text = (module.describe())();
    serde_json::from_str(&text).map_err(|error| format!("its record cannot be read: {error}").into())
}

fn version(module: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    let numbers = |version: &str| version.split('.').map(str::parse::<u32>).collect::<Result<Vec<_>, _>>().ok();
    let (found, expected) = (numbers(&record.api_version), numbers(API_VERSION));
    let compatible =
        matches!((&found, &expected), (Some(f), Some(e)) if f.first() == e.first() && f.get(1) <= e.get(1));
    ensure(compatible, || format!("api_version is {:?}, expected one of {API_VERSION:?}", record.api_version))?;
    let said = found.unwrap_or_default();
    let exported = vec![module.api_major(), module.api_minor()];
    ensure(said.get(..2) == Some(&exported), || format!("its record says {said:?}, its root module {exported:?}"))?;
    // A version may end in `-rc.1` or the like.
    let own = record.version.split(['-', '+']).next().unwrap_or_default();
    ensure(numbers(own).is_some_and(|own| own.len() == 3), || format!("its version is {:?}", record.version))
}

fn names(_: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    let names = std::iter::once(&record.name).chain(record.strategies.iter().map(|strategy| &strategy.name));
    names
        .into_iter()
        .try_for_each(|name| ensure(is_plugin_name(name), || format!("{name:?}, expected {PLUGIN_NAME_RULE}")))
}

fn sentences(_: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    let texts = std::iter::once((&record.name, &record.about));
    let mut texts = texts.chain(record.strategies.iter().map(|strategy| (&strategy.name, &strategy.about)));
    texts.try_for_each(|(name, about)| {
        let fits = about.len() > 1 && about.ends_with('.') && !about.contains(char::is_control);
        ensure(fits, || format!("{name} says {about:?}, expected one line that ends in a full stop"))
    })
}

fn distinct(_: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    ensure(!record.strategies.is_empty(), || "it offers none".into())?;
    let mut seen = BTreeSet::new();
    let mut names = record.strategies.iter().map(|strategy| &strategy.name);
    names.try_for_each(|name| ensure(seen.insert(name), || format!("two are named {name:?}")))
}

fn requirements(_: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    let all = record.strategies.iter().flat_map(|strategy| strategy.requires.iter().map(move |one| (strategy, one)));
    all.into_iter().try_for_each(|(strategy, one)| {
        let known = !matches!(one.need, Need::Other(_));
        ensure(known, || {
            format!("{} needs {:?}, which is no need of {API_VERSION}", strategy.name, one.need.as_str())
        })?;
        let unless = one.unless.as_ref().map(|unless| unless.option.as_str());
        ensure(unless.is_none_or(|option| has_default(strategy, option)), || {
            format!("{} needs {one}, and its schema has no default of that option", strategy.name)
        })
    })
}

/// The host goes by the schema's default where the config says nothing.
fn has_default(strategy: &StrategyRecord, option: &str) -> bool {
    let default = |option: &str| strategy.options.get("properties")?.get(option)?.get("default");
    default(option).is_some()
}

fn declarations(_: PluginModule_Ref, record: &PluginRecord) -> Outcome {
    let all = record.strategies.iter().flat_map(|strategy| strategy.declares.iter().map(move |one| (strategy, one)));
    all.into_iter().try_for_each(|(strategy, one)| {
        let of_kind = match &one.of {
            Trait::EqualScores | Trait::TrainsSubstitutes => strategy.kind == StrategyKind::Importance,
            Trait::IgnoresScores | Trait::TrainsNothing => strategy.kind == StrategyKind::Replace,
            _ => false,
        };
        ensure(of_kind, || {
            let (name, what) = (&strategy.name, one.of.as_str());
            format!("{name} declares {what:?}, which {API_VERSION} does not have for [{}]", strategy.kind)
        })?;
        let option = one.condition.as_ref().map(|condition| condition.option.as_str());
        ensure(option.is_none_or(|option| has_default(strategy, option)), || {
            format!("{} declares that it {one}, and its schema has no default of that option", strategy.name)
        })
    })
}

fn unknown_strategy(module: PluginModule_Ref, _: &PluginRecord) -> Outcome {
    match Session::create(module, "no-such-strategy", "{}") {
        Ok(_) => Err("it made one".to_owned().into()),
        Err(error) => {
            ensure(error.code == ErrorCode::Unsupported && error.message.contains("no-such-strategy"), || {
                format!("the refusal is {error:?}, expected Unsupported and the name")
            })
        }
    }
}
