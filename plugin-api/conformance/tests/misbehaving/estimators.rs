//! Importance estimators that break a promise each.

use scaleot_plugin_api::{
    Checkpoint, Host, ImportanceEstimator, ImportanceScores, LayerMask, PluginError, export_plugin,
};
use std::sync::atomic::{AtomicU32, Ordering};

crate::faults! { Estimator:
    TOO_FEW = 0, NAN = 1, CHANGES = 2, FORGETS = 3, TAKES_ANYTHING = 4, SWALLOWS = 5, LEAKS = 6, PANICS = 7,
    HIDES_CODE = 8, PANICS_ON_STATE = 9, STARTS_OVER = 10, SPOILS = 11,
}

static RUNS: AtomicU32 = AtomicU32::new(0);

impl<const FAULT: usize> ImportanceEstimator for Estimator<FAULT> {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n = host.outline()?.n_layers();
        let full = [LayerMask::all_original(n)];
        let mut scores = vec![0.0; n];
        match FAULT {
            TOO_FEW => drop(scores.pop()),
            NAN => scores[1] = f32::NAN,
            CHANGES => scores[0] = RUNS.fetch_add(1, Ordering::Relaxed) as f32,
            SWALLOWS => {
                host.losses(&full).unwrap_or_default();
                host.progress(1, 1, self).unwrap_or_default();
            }
            HIDES_CODE => drop(host.losses(&full).map_err(|error| PluginError::failed(error.to_string()))?),
            LEAKS => std::mem::forget(host.zeros(&[1])?),
            PANICS => drop(scores.remove(n)),
            STARTS_OVER => {
                host.losses(&full)?;
                host.progress(1, 1, self)?;
            }
            SPOILS => {
                host.losses(&full)?;
                host.progress(1, 1, self)?;
            }
            _ => {}
        }
        Ok(ImportanceScores::new(scores))
    }
}

impl<const FAULT: usize> Checkpoint for Estimator<FAULT> {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        match FAULT {
            FORGETS => Ok(RUNS.fetch_add(1, Ordering::Relaxed).to_le_bytes().to_vec()),
            SPOILS => Ok(b"a state that nobody takes back".to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        match FAULT {
            FORGETS if state.len() == 4 => Ok(()),
            TAKES_ANYTHING => Ok(()),
            PANICS_ON_STATE => {
                assert!(state.is_empty(), "some state");
                Ok(())
            }
            _ if state.is_empty() => Ok(()),
            _ => Err(PluginError::failed("not a state of mine")),
        }
    }
}

export_plugin! {
    name: "estimators",
    about: "Estimators that break a promise each.",
    built_in,
    strategies: {
        "too-few": importance Estimator<TOO_FEW>, "Forgets a layer.";
        "nan": importance Estimator<NAN>, "Gives a NaN.";
        "changes": importance Estimator<CHANGES>, "Never says the same twice.";
        "forgets": importance Estimator<FORGETS>, "Saves something else than it restored.";
        "takes-anything": importance Estimator<TAKES_ANYTHING>, "Takes a foreign state.";
        "swallows": importance Estimator<SWALLOWS>, "Goes on after an error of the host.";
        "leaks": importance Estimator<LEAKS>, "Never gives a tensor back.";
        "panics": importance Estimator<PANICS>, "Panics.";
        "hides-code": importance Estimator<HIDES_CODE>, "Turns the host's error into its own.";
        "panics-on-state": importance Estimator<PANICS_ON_STATE>, "Panics when a foreign state comes.";
        "starts-over": importance Estimator<STARTS_OVER>, "Marks a point, but never goes on from it.";
        "spoils": importance Estimator<SPOILS>, "Marks a point that it cannot go on from.";
    }
}

#[test]
fn are_found() {
    let scores = "gives one finite score per layer";
    let checkpoint = "goes on from its last checkpoint";
    let host = "passes errors of the host on";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("too-few", scores, "found 5 scores for 6 layers"),
            ("nan", scores, "the importance score of layer 1 is NaN"),
            ("changes", "gives the same for the same seed", "two runs of the same seed differ"),
            ("forgets", "takes its state back", "is not what was restored"),
            ("takes-anything", "refuses a state that is not its own", "it was accepted"),
            ("swallows", host, "losses: the host's error was swallowed"),
            ("swallows", "stops when asked to", "the host's error was swallowed"),
            ("leaks", scores, "1 tensors are still held"),
            ("panics", scores, "panicked: "),
            ("hides-code", host, "losses: expected Numeric, found Some(Failed): the loss is NaN"),
            ("panics-on-state", "refuses a state that is not its own", "panicked: some state"),
            ("starts-over", checkpoint, "it started over: 1 requests after 1 from the start"),
            ("spoils", checkpoint, "not a state of mine"),
        ],
    );
}
