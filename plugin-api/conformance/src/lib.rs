//! Tests of plugins without a host: [`FakeHost`], and what every strategy of a kind must keep to.
//!
//! A plugin's whole conformance test is one line:
//!
//! ```no_run
//! # mod my_plugin { pub fn scaleot_root_module() -> scaleot_plugin_api::export::PluginModule_Ref { unimplemented!() } }
//! # use my_plugin::scaleot_root_module;
//! scaleot_plugin_conformance::check_plugin(scaleot_root_module());
//! ```
//!
//! Every check goes through the real boundary, as the host does: create by name, options as JSON, calls by number.

mod algebra;
mod array;
mod fake_host;
mod libtorch;
mod random;
mod toy_model;
mod toy_similarity;

mod adapter_checks;
mod compress_checks;
mod importance_checks;
mod option_checks;
mod record_checks;
mod replace_checks;
mod run_checks;
mod subject;

pub use fake_host::FakeHost;
pub use libtorch::Libtorch;

use scaleot_plugin_api::export::PluginModule_Ref;
use scaleot_plugin_api::{PluginRecord, StrategyKind, StrategyRecord};
use std::collections::BTreeMap;
use std::fmt;
use subject::{Check, Subject};

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The strategy, or the plugin's own name for its record.
    pub of: String,
    /// The promise.
    pub check: &'static str,
    /// The way in which it was broken, if it was.
    pub broken: Option<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.broken.as_deref().unwrap_or("kept");
        write!(f, "{}: {}: {found}", self.of, self.check)
    }
}

/// Checks of one plugin. Options may be set where the defaults are too slow for a test or too large for a toy model.
pub struct Conformance {
    module: PluginModule_Ref,
    options: BTreeMap<String, serde_json::Value>,
    libtorch: Option<&'static dyn Libtorch>,
}

impl Conformance {
    /// Checks of the plugin with this root module.
    #[must_use]
    pub fn of(module: PluginModule_Ref) -> Self {
        Self { module, options: BTreeMap::new(), libtorch: None }
    }

    /// Runs a strategy with these options instead of its defaults.
    #[must_use]
    pub fn with_options(mut self, strategy: &str, options: serde_json::Value) -> Self {
        self.options.insert(strategy.into(), options);
        self
    }

    /// Gives plugins of the `tch` tier tensors of this libtorch; without it, those of this crate's own feature `tch`, if that is on.
    #[must_use]
    pub fn with_libtorch(mut self, libtorch: &'static dyn Libtorch) -> Self {
        self.libtorch = Some(libtorch);
        self
    }

    /// Runs every check; promises that are kept are in the list too.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let record = match record_checks::read(self.module) {
            Ok(record) => record,
            Err(broken) => {
                let broken = Some(broken.to_string());
                return vec![Verdict { of: "plugin".into(), check: "describes itself", broken }];
            }
        };
        let own = record_checks::CHECKS.iter().map(|(check, run)| Verdict {
            of: record.name.clone(),
            check,
            broken: run(self.module, &record).err().map(|broken| broken.to_string()),
        });
        own.chain(record.strategies.iter().flat_map(|strategy| self.strategy(&record, strategy))).collect()
    }

    fn strategy(&self, plugin: &PluginRecord, record: &StrategyRecord) -> Vec<Verdict> {
        let default = serde_json::json!({});
        let options = self.options.get(&record.name).unwrap_or(&default);
        let subject = Subject { module: self.module, record, options, libtorch: self.libtorch };
        let of_kind: &[Check] = match record.kind {
            StrategyKind::Importance => importance_checks::CHECKS,
            StrategyKind::Replace => replace_checks::CHECKS,
            StrategyKind::Compress => compress_checks::CHECKS,
            StrategyKind::Adapter => adapter_checks::CHECKS,
        };
        let verdict = |(check, run): &Check| Verdict {
            of: format!("{}/{}", plugin.name, record.name),
            check,
            broken: run(&subject).err().map(|broken| broken.to_string()),
        };
        [option_checks::CHECKS, of_kind, run_checks::CHECKS].into_iter().flatten().map(verdict).collect()
    }

    /// Runs every check.
    ///
    /// # Panics
    /// When a promise is broken; the message lists all that are.
    pub fn assert(&self) {
        let broken: Vec<_> = self.verdicts().into_iter().filter(|verdict| verdict.broken.is_some()).collect();
        let lines: Vec<_> = broken.iter().map(Verdict::to_string).collect();
        assert!(broken.is_empty(), "the plugin breaks {} promises:\n{}", lines.len(), lines.join("\n"));
    }
}

/// Checks a plugin with every strategy at its defaults.
///
/// # Panics
/// When a promise is broken; the message lists all that are.
pub fn check_plugin(module: PluginModule_Ref) {
    Conformance::of(module).assert();
}
