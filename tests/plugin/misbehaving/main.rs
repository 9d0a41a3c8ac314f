//! A plugin that does wrong, as its options or the environment say: one library for every fault that the host must survive.
//!
//! `estimator`, `replacer`, `compressor`, `adapter` misbehave in Rust; `raw-*` answer any bytes at all, beneath the contract's types.
//! At load, before anybody asks: `MISBEHAVE_AT_LOAD` = `segfault`, `write` or `replace` (of the file `MISBEHAVE_FILE`).

mod at_load;
mod faults;
mod raw;
mod strategies;

use scaleot_plugin_api::export::abi_stable::library::{
    __call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult,
};
use scaleot_plugin_api::export::abi_stable::prefix_type::PrefixTypeTrait as _;
use scaleot_plugin_api::export::abi_stable::std_types::{RResult, RSlice, RStr, RString, RVec};
use scaleot_plugin_api::export::{
    PluginModule, PluginModule_Ref, RawStrategy, api_version, create_strategy, describe_plugin,
};
use scaleot_plugin_api::{PluginRecord, StrategyEntry};
use std::sync::OnceLock;
use strategies::Misbehaving;

fn entries() -> &'static [StrategyEntry] {
    static ENTRIES: OnceLock<Vec<StrategyEntry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let mut entries = vec![
            StrategyEntry::importance::<Misbehaving>("estimator", "Misbehaves when it scores."),
            StrategyEntry::replace::<Misbehaving>("replacer", "Misbehaves in a layer's place."),
            StrategyEntry::compress::<Misbehaving>("compressor", "Misbehaves with a layer's weights."),
            StrategyEntry::adapter::<Misbehaving>("adapter", "Misbehaves when it tunes."),
        ];
        entries.extend(raw::entries());
        entries
    })
}

extern "C" fn describe() -> RString {
    match std::env::var("MISBEHAVE_RECORD").as_deref() {
        Ok("garbage") => "{\"name\": ".into(),
        Ok("panic") => describe_plugin(|| panic!("in the record")),
        Ok("name") => describe_plugin(|| PluginRecord::new("offsite-tuning", "0.0.0", "Steals a name.", entries())),
        _ => describe_plugin(|| PluginRecord::new("test-misbehaving", "0.0.0", "Does wrong.", entries())),
    }
}

extern "C" fn create(name: RStr<'_>, options: RSlice<'_, u8>) -> RResult<RawStrategy, RVec<u8>> {
    match name.as_str().strip_prefix("raw-") {
        Some(_) => raw::create(options.as_slice()),
        None => create_strategy(entries, name, options),
    }
}

fn root_module() -> PluginModule_Ref {
    let (api_major, api_minor) = api_version();
    PluginModule { api_major, api_minor, describe, create }.leak_into_prefix()
}

// What `export_plugin!` writes, with a `create` of our own.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static _1as_0lib_1header_0root_bmodule_bloader: LibHeader = {
    extern "C" fn erased() -> RootModuleResult {
        __call_root_module_loader(root_module)
    }
    // SAFETY: `erased` returns the module type that is named here.
    unsafe { LibHeader::from_constructor::<PluginModule_Ref>(erased, CheckTypeLayout::Yes) }
};
