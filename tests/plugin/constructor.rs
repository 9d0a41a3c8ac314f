//! A plugin for tests whose library does something as soon as it is loaded: it makes the file that a variable names.
//!
//! So a test can tell whether any of its code ran.

use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, ImportanceEstimator, ImportanceScores, PluginError, Strategy, Trait,
};

/// The path at which the mark is to be made.
const VARIABLE: &str = "SCALEOT_TEST_MARK";

extern "C" fn constructor() {
    if let Some(path) = std::env::var_os(VARIABLE) {
        let _ = std::fs::write(path, "loaded");
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// The one score.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EvenOptions {
    /// The score of every layer.
    #[schemars(range(max = 9))]
    score: u8,
}

struct Even(EvenOptions);

impl Strategy for Even {
    type Options = EvenOptions;
    fn new(options: EvenOptions) -> Result<Self, PluginError> {
        Ok(Self(options))
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::EqualScores)]
    }
}

impl ImportanceEstimator for Even {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        Ok(ImportanceScores::new(vec![self.0.score.into(); host.outline()?.n_layers()]))
    }
}

impl Checkpoint for Even {}

scaleot_plugin_api::export_plugin! {
    name: "test-constructor",
    about: "For the tests of ScaleOT: leaves a mark when it is loaded.",
    strategies: {
        "even": importance Even, "All layers alike.";
    }
}
