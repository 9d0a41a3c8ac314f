//! Options that break a promise each.

use plugin_api::{Adapter, AdapterModule, AdapterPart, LayerOutline, PluginError, Strategy, export_plugin};
use std::marker::PhantomData;

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
        Ok(AdapterModule { parts: vec![AdapterPart::WholeLayer] })
    }
}

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
    size: usize,
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
        "unchecked": adapter With<Unchecked>, "Says a range and does not keep to it.";
        "vague": adapter With<Vague>, "Refuses without saying what.";
        "bare": adapter With<Bare>, "Takes a number.";
    }
}

#[test]
fn are_found() {
    let schema = "has a closed object schema";
    let range = "refuses a value out of range by its option's name";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("open", schema, "leaves room for unknown keys"),
            ("open", "refuses an unknown option by name", "no-such-option = 1 was accepted"),
            ("mute", "describes every option", "size has no description"),
            ("required", "can be made with its defaults", "missing field `size`"),
            ("unchecked", range, "share = -1.0 was accepted"),
            ("vague", range, "too large"),
            ("bare", schema, "its type is Some(String(\"number\"))"),
        ],
    );
}
