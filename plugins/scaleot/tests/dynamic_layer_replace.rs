//! Dynamic LayerReplace through the fake host: what it learns, what it asks for, and how it goes on after a stop.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use plugin_scaleot::{DynamicLayerReplace, DynamicLayerReplaceOptions, Grouping, Reward, Schedule};
use scaleot_plugin_api::services;
use scaleot_plugin_api::{
    Checkpoint, ErrorCode, ImportanceEstimator, ImportanceScores, ModelOutline, PluginError, Strategy,
    strategy_from_json,
};
use scaleot_plugin_conformance::FakeHost;

/// Eight important layers side by side: all of group 8..12, halves of 4..8 and 12..16.
const IMPORTANT: std::ops::Range<usize> = 6..14;

fn estimator(options: &DynamicLayerReplaceOptions) -> DynamicLayerReplace {
    DynamicLayerReplace::new(options.clone()).unwrap()
}

/// A host whose important layers cost five times as much as the others.
fn bandit(seed: u64) -> FakeHost {
    let costs: Vec<f64> = (0..24).map(|layer| if IMPORTANT.contains(&layer) { 0.05 } else { 0.01 }).collect();
    FakeHost::with_outline(ModelOutline::toy(24, 8), seed).with_layer_costs(&costs)
}

fn scores(options: &DynamicLayerReplaceOptions, host: &mut FakeHost) -> Vec<f32> {
    estimator(options).estimate(&mut host.host()).unwrap().scores
}

/// In how many of the first `seeds` seeds the eight best are the important ones.
fn solved(options: &DynamicLayerReplaceOptions, seeds: u64) -> usize {
    let solves = |seed: &u64| {
        let scores = scores(options, &mut bandit(*seed));
        let mut best = ImportanceScores::new(scores).ascending().split_off(24 - IMPORTANT.len());
        best.sort_unstable();
        best == IMPORTANT.collect::<Vec<_>>()
    };
    (0..seeds).filter(solves).count()
}

/// A bandit: 2,000 steps are allowed, the defaults take 500.
#[test]
fn shuffled_groups_rank_the_important_layers_first() {
    let solved = solved(&DynamicLayerReplaceOptions::default(), 20);
    assert!(solved >= 19, "in {solved} of 20 seeds");
}

#[test]
fn raw_rewards_find_them_too() {
    let raw = DynamicLayerReplaceOptions { reward: Reward::Raw, score_rate: 1.0, ..Default::default() };
    let solved = solved(&raw, 4);
    assert_eq!(solved, 4);
}

/// A contiguous group compares its own layers only, so nothing is said of the order between groups.
#[test]
fn contiguous_groups_rank_inside_groups() {
    let options = DynamicLayerReplaceOptions { grouping: Grouping::Contiguous, ..Default::default() };
    for seed in 0..4 {
        let scores = scores(&options, &mut bandit(seed));
        let least = |layers: [usize; 2]| layers.map(|layer| scores[layer]).into_iter().fold(f32::INFINITY, f32::min);
        let most = |layers: [usize; 2]| layers.map(|layer| scores[layer]).into_iter().fold(f32::NEG_INFINITY, f32::max);
        assert!(least([6, 7]) > most([4, 5]), "seed {seed}: {scores:?}");
        assert!(least([12, 13]) > most([14, 15]), "seed {seed}: {scores:?}");
    }
}

fn short(steps: u32) -> DynamicLayerReplaceOptions {
    DynamicLayerReplaceOptions { steps, warmup_steps: 4, schedule: Schedule::Linear, ..Default::default() }
}

#[test]
fn a_step_is_one_gradient_step_and_one_question_for_losses() {
    let mut host = bandit(1);
    scores(&DynamicLayerReplaceOptions { reinforce_every: 3, ..short(10) }, &mut host);
    let asked =
        [host.requests::<services::TrainingStep>(), host.requests::<services::Losses>(), host.checkpoints().len()];
    assert_eq!(asked, [10, 3, 10]);
    let points = |curve: &str| -> Vec<(u64, usize)> {
        let own = host.curve().iter().filter(|point| point.curve == curve);
        own.map(|point| (point.step, point.values.len())).collect()
    };
    assert_eq!(points("train_loss"), (1..=10).map(|step| (step, 1)).collect::<Vec<_>>());
    assert_eq!(points("held_out_loss"), [(3, 1), (6, 1), (9, 1)]);
    assert_eq!(points("scores"), [(3, 24), (6, 24), (9, 24)]);
}

#[test]
fn where_nothing_trains_only_scores_move() {
    let frozen = || bandit(1).with_trainable(&[false; 24]);
    let mut host = frozen();
    let without = scores(&short(200), &mut host);
    assert_eq!((host.requests::<services::TrainingStep>(), host.requests::<services::Losses>()), (0, 200));
    assert!(without[7] > without[0], "{without:?}");
    let mut idle = bandit(1);
    scores(&DynamicLayerReplaceOptions { learning_rate: 0.0, ..short(10) }, &mut idle);
    assert_eq!((idle.requests::<services::TrainingStep>(), idle.requests::<services::Losses>()), (0, 10));
    // One trainable layer: about half of the mixtures replace it, and only those train.
    let mut single = bandit(1).with_trainable(&std::array::from_fn::<_, 24, _>(|layer| layer == 5));
    scores(&short(200), &mut single);
    assert!(
        (60..140).contains(&single.requests::<services::TrainingStep>()),
        "{}",
        single.requests::<services::TrainingStep>()
    );
}

/// The fake host stands for one that kept its own counters of batches and its substitutes with the checkpoint.
#[test]
fn ten_steps_are_four_and_after_a_stop_six() {
    let mut whole = bandit(3);
    let expected = scores(&short(10), &mut whole);
    let mut host = bandit(3);
    host.stop_after(3);
    let stopped = estimator(&short(10)).estimate(&mut host.host()).unwrap_err();
    assert_eq!((stopped.code, host.checkpoints().len()), (ErrorCode::Interrupted, 4));
    host.stop_after(usize::MAX);
    let last = host.checkpoints().last().unwrap().clone();
    let mut resumed = estimator(&short(10));
    resumed.restore(&last).unwrap();
    assert_eq!(resumed.save().unwrap(), last);
    let found = resumed.estimate(&mut host.host()).unwrap().scores;
    assert_eq!(host.requests::<services::TrainingStep>(), 10);
    assert_eq!(
        found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        expected.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
    assert_eq!(host.checkpoints(), whole.checkpoints());
    assert_eq!(host.curve(), whole.curve());
}

#[test]
fn a_step_that_fails_leaves_the_state_of_the_step_before() {
    let mut host = bandit(3);
    host.stop_after(3);
    let mut estimator = estimator(&short(10));
    estimator.estimate(&mut host.host()).unwrap_err();
    host.stop_after(usize::MAX);
    host.fail::<services::Losses>(PluginError::new(ErrorCode::Numeric, "a held-out loss is NaN"));
    let error = estimator.estimate(&mut host.host()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Numeric);
    assert_eq!(&estimator.save().unwrap(), host.checkpoints().last().unwrap());
}

#[test]
fn a_state_of_another_run_is_refused() {
    let mut host = bandit(3);
    scores(&short(4), &mut host);
    let state = host.checkpoints().last().unwrap().clone();
    let refusal = |host: &mut FakeHost| {
        let mut other = estimator(&short(8));
        other.restore(&state).unwrap();
        other.estimate(&mut host.host()).unwrap_err()
    };
    let error = refusal(&mut FakeHost::with_outline(ModelOutline::toy(6, 8), 3));
    assert!(error.message.contains("with 24 layers, this run has seed"), "{error}");
    assert!(error.message.ends_with("with 6 layers"), "{error}");
    assert_eq!(refusal(&mut bandit(4)).code, ErrorCode::Failed);
}

#[test]
fn the_order_of_draws_is_pinned() {
    // A change here breaks the resuming of runs made by older builds.
    let found: Vec<i32> =
        scores(&short(20), &mut FakeHost::toy(6, 8)).iter().map(|s| (s * 1e4).round() as i32).collect();
    assert_eq!(found, [327, 297, 1457, 1072, -2140, -1007]);
}

#[test]
fn values_without_meaning_are_refused_by_name() {
    let made = |options: &str| {
        strategy_from_json::<DynamicLayerReplace>(options.as_bytes()).map(drop).map_err(|error| error.message)
    };
    for (options, message) in [
        (r#"{"steps": 0}"#, "steps is 0, expected a whole number of at least 1"),
        (r#"{"group_size": 1}"#, "group_size is 1, expected at least 2, or 0 for one group of all layers"),
        (r#"{"candidates": 1}"#, "candidates is 1, expected a whole number of at least 2"),
        (r#"{"reinforce_every": 0}"#, "reinforce_every is 0, expected a whole number of at least 1"),
        (r#"{"score_rate": 0}"#, "score_rate is 0, expected a number above 0.0"),
        (r#"{"score_limit": -6}"#, "score_limit is -6, expected a number above 0.0"),
        (r#"{"learning_rate": -1.0}"#, "learning_rate is -1.0, expected a number of at least 0.0"),
    ] {
        assert_eq!(made(options), Err(message.to_owned()));
    }
    assert_eq!(made(r#"{"learning_rate": 0, "group_size": 0}"#), Ok(()));
}
