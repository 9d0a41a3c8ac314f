//! Every pair of what an estimator and a replacer may be.

use super::super::load::tests::{SMALL, parse};
use super::*;
use scaleot_plugin_api::StrategyKind;
use serde_json::json;

fn described(kind: StrategyKind, name: &str, declares: &[Declaration]) -> StrategyRecord {
    let options = json!({ "type": "object", "properties": { "selection": { "type": "string", "default": "global" } } });
    let mut record = StrategyRecord::new(name, kind, "A test.", options);
    record.declares = declares.to_vec();
    record
}

fn estimator(traits: &[Trait]) -> StrategyRecord {
    let declares: Vec<_> = traits.iter().cloned().map(Declaration::always).collect();
    described(StrategyKind::Importance, "one", &declares)
}

fn replacer(traits: &[Trait]) -> StrategyRecord {
    let declares: Vec<_> = traits.iter().cloned().map(Declaration::always).collect();
    described(StrategyKind::Replace, "other", &declares)
}

fn check(overrides: &[&str], estimator: &StrategyRecord, replacer: &StrategyRecord) -> Result<(), String> {
    let used = ["importance.use=a/one", "replace.use=b/other"];
    let config = parse(SMALL, &[&used, overrides].concat()).unwrap();
    config.check_combination(estimator, replacer).map_err(|error| error.to_string())
}

#[test]
fn scores_need_a_reader_and_a_reader_needs_a_ranking() {
    let (ranks, equal) = (estimator(&[]), estimator(&[Trait::EqualScores]));
    let (sorts, own_rule) = (replacer(&[]), replacer(&[Trait::IgnoresScores]));
    assert_eq!(check(&[], &ranks, &sorts), Ok(()));
    assert_eq!(check(&[], &equal, &own_rule), Ok(()));
    assert_eq!(
        check(&[], &ranks, &own_rule).unwrap_err(),
        "override `importance.use=a/one`: key `importance.use`: found \"a/one\", whose scores nothing reads, expected \"offsite-tuning/uniform\", because replace.use = \"b/other\" chooses layers by a rule of its own; or a replacer that reads scores, such as \"shortgpt/layer-removal\""
    );
    assert_eq!(
        check(&[], &equal, &sorts).unwrap_err(),
        "override `importance.use=a/one`: key `importance.use`: found \"a/one\", which gives every layer the same score, expected an estimator that ranks layers, because replace.use = \"b/other\" chooses them by score; or a replacer with a rule of its own, such as \"offsite-tuning/layer-drop\""
    );
    // Where no layer gives way, nobody chooses.
    for none in ["replace.count=0", "replace.ratio=0.0"] {
        assert_eq!(check(&[none], &equal, &sorts), Ok(()));
        assert_eq!(check(&[none], &ranks, &own_rule), Ok(()));
    }
}

#[test]
fn adapters_placed_by_score_read_it() {
    let top = ["adapter.placement=top_score"];
    let (ranks, equal, own_rule) =
        (estimator(&[]), estimator(&[Trait::EqualScores]), replacer(&[Trait::IgnoresScores]));
    assert_eq!(check(&top, &ranks, &own_rule), Ok(()));
    assert_eq!(
        check(&top, &equal, &own_rule).unwrap_err(),
        "override `adapter.placement=top_score`: key `adapter.placement`: found \"top_score\", expected \"outer\", \"spread\" or \"spread_kept\", because importance.use = \"a/one\" gives every layer the same score; or an estimator that ranks layers"
    );
    assert!(check(&[top[0], "replace.count=0"], &equal, &own_rule).is_err());
}

#[test]
fn an_option_may_decide() {
    let even = Declaration::if_option(Trait::IgnoresScores, "selection", "even");
    let (ranks, equal) = (estimator(&[]), estimator(&[Trait::EqualScores]));
    let replacer = described(StrategyKind::Replace, "other", &[even]);
    let chosen = ["replace.options.selection=even"];
    assert_eq!(check(&[], &ranks, &replacer), Ok(()));
    assert_eq!(check(&chosen, &equal, &replacer), Ok(()));
    let refused = check(&[], &equal, &replacer).unwrap_err();
    assert!(refused.ends_with("chooses them by score; or replace.options.selection = \"even\""), "{refused}");
    let refused = check(&chosen, &ranks, &replacer).unwrap_err();
    assert!(refused.contains("\"b/other\" with replace.options.selection = \"even\" chooses layers"), "{refused}");
}

#[test]
fn substitutes_that_train_meanwhile_are_worth_an_estimator() {
    let trains = estimator(&[Trait::TrainsSubstitutes]);
    assert_eq!(check(&[], &trains, &replacer(&[Trait::IgnoresScores])), Ok(()));
    assert!(check(&[], &trains, &replacer(&[Trait::IgnoresScores, Trait::TrainsNothing])).is_err());
}

#[test]
fn a_training_needs_something_that_trains() {
    let config = parse(SMALL, &["train.steps=5", "public_data.text=[\"a.txt\"]", "replace.use=b/other"]).unwrap();
    assert!(config.check_trains(&replacer(&[])).is_ok());
    assert_eq!(
        config.check_trains(&replacer(&[Trait::TrainsNothing])).unwrap_err().to_string(),
        "override `train.steps=5`: key `train.steps`: found 5, expected no [train], because nothing that b/other puts in a layer's place can train; or a replace.use whose substitutes do, or whose objective trains kept layers"
    );
    let untrained = parse(SMALL, &["replace.use=b/other"]).unwrap();
    assert!(untrained.check_trains(&replacer(&[Trait::TrainsNothing])).is_ok());
}
