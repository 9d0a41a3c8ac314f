//! The parts of an emulator, slot by slot, and the names of its tensors.
//!
//! `embedding`, `position_embedding`, `final_norm.{weight,bias}`, `head`; in slot `i`: `slots.i.<role>.{weight,bias,left,right}`
//! or `slots.i.module.k`. Roles and not the family's names, so that a factored part of a fused projection has a name.

use scaleot_plugin_api::{AdapterModule, Module, WeightRole};
use serde::{Deserialize, Serialize};

/// One position of the emulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EmulatorSlot {
    /// Original weights; the data owner trains what `trains` says.
    Adapter {
        /// The parts that train.
        trains: AdapterModule,
    },
    /// Frozen weights, some of them in two factors.
    Frozen {
        /// Roles stored as `left` and `right`.
        factored: Vec<WeightRole>,
    },
    /// A module in a layer's place, frozen; tensors by name.
    Module {
        /// The description.
        module: Module<String>,
    },
}

/// `emulator.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmulatorDescription {
    /// In order of computation.
    pub slots: Vec<EmulatorSlot>,
}

impl EmulatorDescription {
    /// Slots that the data owner trains, with what trains in each.
    pub fn adapters(&self) -> impl Iterator<Item = (usize, &AdapterModule)> {
        self.slots.iter().enumerate().filter_map(|(slot, kind)| match kind {
            EmulatorSlot::Adapter { trains } => Some((slot, trains)),
            _ => None,
        })
    }
}

/// The name of a part of a role in a slot; `part` is `weight`, `bias`, `left` or `right`.
pub fn tensor_name(slot: usize, role: WeightRole, part: &str) -> String {
    format!("slots.{slot}.{role}.{part}")
}
