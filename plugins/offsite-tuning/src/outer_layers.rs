//! Whole layers as adapters: every weight of an adapter layer trains (Offsite-Tuning, section 4.1; the published default).

use crate::NoOptions;
use scaleot_plugin_api::{Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, Strategy};

/// Every weight of the adapter layers trains.
pub struct OuterLayers;

impl Strategy for OuterLayers {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl Adapter for OuterLayers {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }
}

impl Checkpoint for OuterLayers {}
