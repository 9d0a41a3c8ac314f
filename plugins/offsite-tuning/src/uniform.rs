//! Uniform importance: every layer alike, `s_i = 0`. The control that any estimator must beat.

use crate::NoOptions;
use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceEstimator, ImportanceScores, PluginError, Strategy, Trait,
};

/// Every layer is as important as any other.
pub struct Uniform;

impl Strategy for Uniform {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::EqualScores)]
    }
}

impl ImportanceEstimator for Uniform {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        Ok(ImportanceScores::new(vec![0.0; host.outline()?.n_layers()]))
    }
}

impl Checkpoint for Uniform {}
