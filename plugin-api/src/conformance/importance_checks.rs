//! What every importance estimator must keep to.

use super::fake_host::FakeHost;
use super::subject::{Broken, Check, Outcome, Session, Subject, ensure};
use crate::importance::ImportanceScores;
use crate::strategy::Method;

pub(super) const CHECKS: &[Check] = &[("gives one finite score per layer", scores)];

fn estimate(session: &mut Session, host: &mut FakeHost) -> Result<ImportanceScores, Broken> {
    Ok(session.ask(Method::Estimate, &(), host)?)
}

/// One whole use of the strategy; the text of what it gave.
pub(super) fn exercise(session: &mut Session, host: &mut FakeHost) -> Result<String, Broken> {
    Ok(format!("{:?}", estimate(session, host)?))
}

fn scores(subject: &Subject) -> Outcome {
    subject.on_each_model(|session, host| {
        let scores = estimate(session, host)?.scores;
        let (found, expected) = (scores.len(), host.outline().n_layers());
        ensure(found == expected, || format!("found {found} scores for {expected} layers"))?;
        ensure(scores.iter().all(|score| score.is_finite()), || format!("found {scores:?}"))
    })
}
