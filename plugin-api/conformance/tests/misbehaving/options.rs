//! Options that break a promise each.

use scaleot_plugin_api::export::abi_stable::prefix_type::PrefixTypeTrait;
use scaleot_plugin_api::export::abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};
use scaleot_plugin_api::export::{PluginModule, RawStrategy, create_strategy, describe_plugin};
use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, AnyStrategy, Checkpoint, LayerOutline, PluginError, PluginRecord, Strategy,
    StrategyEntry, export_plugin,
};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Trains whole layers, whatever its options are.
struct With<O>(PhantomData<O>);

impl<O: Checked> Strategy for With<O> {
    type Options = O;
    fn new(options: O) -> Result<Self, PluginError> {
        options.check().map(|()| Self(PhantomData))
    }
}

impl<O> Adapter for With<O> {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }
}

impl<O> Checkpoint for With<O> {}

trait Checked: serde::de::DeserializeOwned + schemars::JsonSchema {
    fn check(&self) -> Result<(), PluginError> {
        Ok(())
    }
}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default)]
struct Open {}
impl Checked for Open {}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Mute {
    #[allow(dead_code)]
    size: usize,
}
impl Checked for Mute {}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Required {
    /// Must be given.
    #[allow(dead_code)]
    size: usize,
}
impl Checked for Required {}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Unchecked {
    /// A share.
    #[schemars(extend("minimum" = 0.0, "maximum" = 1.0))]
    #[allow(dead_code)]
    share: f64,
}
impl Checked for Unchecked {}

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Vague {
    /// A count.
    #[schemars(range(max = 8))]
    size: i64,
}
impl Checked for Vague {
    fn check(&self) -> Result<(), PluginError> {
        if self.size > 8 { Err(PluginError::options("too large")) } else { Ok(()) }
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Bare(#[allow(dead_code)] f64);
impl Checked for Bare {}

export_plugin! {
    name: "options",
    about: "Options that break a promise each.",
    built_in,
    strategies: {
        "open": adapter With<Open>, "Takes unknown keys.";
        "mute": adapter With<Mute>, "Describes nothing.";
        "required": adapter With<Required>, "Has no defaults.";
        "bare": adapter With<Bare>, "Takes a number.";
    }
}

#[test]
fn are_found() {
    let schema = "has a closed object schema";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("open", schema, "leaves room for unknown keys"),
            ("open", "refuses an unknown option by name", "no-such-option = 1 was accepted"),
            ("mute", "describes every option", "size has no description"),
            ("required", "can be made with its defaults", "missing field `size`"),
            ("bare", schema, "its type is Some(String(\"number\"))"),
        ],
    );
}

/// Made as a plugin makes them that does not check its schema's bounds, such as one in another language.
fn unbounded<O: Checked + 'static>(options: &[u8]) -> Result<AnyStrategy, PluginError> {
    let options: O = serde_json::from_slice(options)?;
    Ok(AnyStrategy::Adapter(Box::new(With::<O>::new(options)?)))
}

fn entries() -> &'static [StrategyEntry] {
    static ENTRIES: OnceLock<Vec<StrategyEntry>> = OnceLock::new();
    let mut unchecked = StrategyEntry::adapter::<With<Unchecked>>("unchecked", "Says a range and does not keep to it.");
    let mut vague = StrategyEntry::adapter::<With<Vague>>("vague", "Refuses without saying what.");
    (unchecked.create, vague.create) = (unbounded::<Unchecked>, unbounded::<Vague>);
    ENTRIES.get_or_init(|| vec![unchecked, vague])
}

extern "C" fn describe() -> RString {
    describe_plugin(|| PluginRecord::new("ranges", "0.1.0", "Ranges that nothing keeps to.", entries()))
}

extern "C" fn create(name: RStr<'_>, options: RSlice<'_, u8>) -> RResult<RawStrategy, RVec<u8>> {
    create_strategy(entries, name, options)
}

#[test]
fn ranges_that_nothing_keeps_to_are_found() {
    let range = "refuses a value out of range by its option's name";
    let module = PluginModule { api_major: 2, api_minor: 0, describe, create }.leak_into_prefix();
    crate::assert_found(module, &[("unchecked", range, "share = -1.0 was accepted"), ("vague", range, "too large")]);
}
