//! Plugins that say something wrong of themselves.

use crate::NoOptions;
use scaleot_plugin_api::export::abi_stable::prefix_type::PrefixTypeTrait;
use scaleot_plugin_api::export::abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};
use scaleot_plugin_api::export::{PluginModule, PluginModule_Ref, RawStrategy, create_strategy, describe_plugin};
use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, PluginRecord, Strategy, StrategyEntry,
    export_plugin,
};
use std::sync::OnceLock;

struct WholeLayers;
impl Strategy for WholeLayers {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}
impl Adapter for WholeLayers {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }
}

impl Checkpoint for WholeLayers {}

export_plugin! {
    name: "Bad_Name",
    about: "no full stop",
    built_in,
    strategies: {
        "whole": adapter WholeLayers, "Trains all.";
        "whole": adapter WholeLayers, "Trains all.";
    }
}

fn entries() -> &'static [StrategyEntry] {
    static ENTRIES: OnceLock<Vec<StrategyEntry>> = OnceLock::new();
    ENTRIES.get_or_init(|| vec![StrategyEntry::adapter::<WholeLayers>("whole", "Trains all.")])
}

extern "C" fn create_any(_: RStr<'_>, options: RSlice<'_, u8>) -> RResult<RawStrategy, RVec<u8>> {
    create_strategy(entries, "whole".into(), options)
}

extern "C" fn describe_another_version() -> RString {
    describe_plugin(|| {
        let mut record = PluginRecord::new("other", "1", "Other.", entries());
        record.api_version = "1.0.0".into();
        record
    })
}

extern "C" fn describe_one_thing() -> RString {
    describe_plugin(|| PluginRecord::new("one-thing", "0.1.0-rc.1", "Says one thing.", entries()))
}

extern "C" fn describe_nothing() -> RString {
    describe_plugin(|| panic!("at once"))
}

fn module(api_major: u32, describe: extern "C" fn() -> RString) -> PluginModule_Ref {
    PluginModule { api_major, api_minor: 0, describe, create: create_any }.leak_into_prefix()
}

#[test]
fn are_found() {
    let names = "has names of a-z, 0-9 and -";
    let of = "Bad_Name";
    crate::assert_found(
        scaleot_root_module(),
        &[
            (of, names, "\"Bad_Name\""),
            (of, "says in a sentence what it is", "says \"no full stop\""),
            (of, "offers strategies of different names", "two are named \"whole\""),
        ],
    );
    crate::assert_found(
        module(1, describe_another_version),
        &[("other", "is built for this contract", "api_version is \"1.0.0\"")],
    );
    crate::assert_found(
        module(1, describe_one_thing),
        &[
            ("one-thing", "is built for this contract", "its record says [2, 0, 0], its root module [1, 0]"),
            ("one-thing", "refuses a strategy that it does not have", "it made one"),
        ],
    );
    crate::assert_found(module(1, describe_nothing), &[("plugin", "describes itself", "its record cannot be read")]);
}
