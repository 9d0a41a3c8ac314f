//! Conformance checks are only worth having if they fail: one strategy for every way to break a promise.

mod adapters;
mod compressors;
mod declarations;
mod estimators;
mod options;
mod records;
mod replacers;
mod resuming;

use scaleot_plugin_api::export::PluginModule_Ref;
use scaleot_plugin_conformance::Conformance;

/// Options with nothing to set.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoOptions {}

/// A type for every fault of a kind: `Faulty<0>`, `Faulty<1>`, ... by the names in a table.
macro_rules! faults {
    ($type:ident: $($name:ident = $number:literal),* $(,)?) => {
        $(const $name: usize = $number;)*
        struct $type<const FAULT: usize> {}
        impl<const FAULT: usize> scaleot_plugin_api::Strategy for $type<FAULT> {
            type Options = crate::NoOptions;
            fn new(_: crate::NoOptions) -> Result<Self, scaleot_plugin_api::PluginError> {
                Ok(Self {})
            }
        }
    };
}
pub(crate) use faults;

/// Each `(of, check, text)` must be among the broken promises, with this text in the finding.
fn assert_found(module: PluginModule_Ref, expected: &[(&str, &str, &str)]) {
    let broken: Vec<_> = Conformance::of(module).verdicts().into_iter().filter(|v| v.broken.is_some()).collect();
    let lines = broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for (of, check, text) in expected {
        let found = broken.iter().any(|verdict| {
            let own = verdict.of.rsplit('/').next() == Some(of);
            own && verdict.check == *check && verdict.broken.as_ref().is_some_and(|found| found.contains(text))
        });
        assert!(found, "nothing like `{of}: {check}: ..{text}..` was found in\n{lines}");
    }
    let innocent = |of: &str| !expected.iter().any(|(name, ..)| of.rsplit('/').next() == Some(name));
    let strays: Vec<_> = broken.iter().filter(|verdict| innocent(&verdict.of)).collect();
    assert!(strays.is_empty(), "nothing was expected of {strays:?}");
}
