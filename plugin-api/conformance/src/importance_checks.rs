//! Promises of every importance estimator.

use crate::fake_host::FakeHost;
use crate::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use scaleot_plugin_api::services::{Curvatures, LayerStatistics, Losses, OutputSimilarity, TrainingStep};
use scaleot_plugin_api::{ImportanceScores, Method, Trait};

pub(crate) const CHECKS: &[Check] = &[
    ("gives one finite score per layer", scores),
    ("gives equal scores if it declares so", equal_scores),
    ("trains substitutes if it declares so", trains_substitutes),
    ("goes on from its last checkpoint", checkpoint),
];

fn estimate(session: &mut Session, host: &mut FakeHost) -> Result<ImportanceScores, Broken> {
    Ok(session.ask(Method::Estimate, &(), host)?)
}

/// One whole use of the strategy; the text of what it gave.
pub(crate) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    Ok(format!("{:?}", estimate(session, host)?))
}

fn scores(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let scores = estimate(session, host)?;
        one_per_layer(&scores, host)
    })
}

fn one_per_layer(scores: &ImportanceScores, host: &FakeHost) -> Outcome {
    let scores = &scores.scores;
    let (found, expected) = (scores.len(), host.outline().n_layers());
    ensure(found == expected, || format!("found {found} scores for {expected} layers"))?;
    ensure(scores.iter().all(|score| score.is_finite()), || format!("found {scores:?}"))
}

fn equal_scores(subject: &Subject) -> Outcome {
    if !subject.declares(&Trait::EqualScores) {
        return Ok(());
    }
    subject.on_each_model(|session, host| {
        let scores = estimate(session, host)?;
        ensure(scores.are_equal(), || format!("found {:?}", scores.scores))
    })
}

fn trains_substitutes(subject: &Subject) -> Outcome {
    if !subject.declares(&Trait::TrainsSubstitutes) {
        return Ok(());
    }
    subject.on_each_model(|session, host| {
        estimate(session, host)?;
        ensure(host.requests::<TrainingStep>() > 0, || "it asked for no training step".into())
    })
}

/// A strategy that reports progress must come to the same from each of these points as if it had never stopped, and from the last
/// with less work than from the start.
fn checkpoint(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let whole = estimate(session, host)?;
        let Some(last) = host.checkpoints().len().checked_sub(1) else { return Ok(()) };
        for point in some_of(last) {
            let mut later = host.resumed(point);
            let mut resumed = subject.session()?;
            resumed.restore(&host.checkpoints()[point], &mut later)?;
            let scores = estimate(&mut resumed, &mut later)?;
            one_per_layer(&scores, &later)?;
            let from = || format!("from checkpoint {} of {}", point + 1, last + 1);
            let (found, expected) = (&scores.scores, &whole.scores);
            ensure(found == expected, || format!("{} it scores {found:?}, without a stop {expected:?}", from()))?;
            ensure(later.curve() == host.curve(), || format!("{} its curves are others than without a stop", from()))?;
            let (all, rest) = (work(host), work(&later));
            let less = point < last || rest < all || all == 0;
            ensure(less, || format!("it started over: {rest} requests after {all} from the start"))?;
        }
        Ok(())
    })
}

/// The first, the last and some points between.
pub(crate) fn some_of(last: usize) -> Vec<usize> {
    let mut points: Vec<usize> = (0..=4).map(|quarter| last * quarter / 4).collect();
    points.dedup();
    points
}

/// Questions that cost passes through the model.
fn work(host: &FakeHost) -> usize {
    host.requests::<Losses>()
        + host.requests::<TrainingStep>()
        + host.requests::<LayerStatistics>()
        + host.requests::<OutputSimilarity>()
        + host.requests::<Curvatures>()
}
