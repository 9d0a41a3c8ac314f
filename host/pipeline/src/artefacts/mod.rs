//! Artefacts: the formats of what passes between stages on disk. Each is written by one stage and read by later ones.

mod column;
mod compression;
mod curves;
mod description;
mod emulator;
mod importance;
mod layer_plan;
mod layer_tensors;
mod ledger;
mod module_tensors;
mod parameter;
mod resumed;
mod return_artefact;
mod tensor_file;
mod trained_emulator;
mod training_log;
mod tuning_record;

pub use column::{ColumnResult, Figure, TaskResult, TextResult};
pub use compression::{CompressionArtefact, LayerCompression, install_compressed, layer_file};
pub use curves::{Curve, Curves};
pub use description::{EmulatorDescription, EmulatorSlot, tensor_name};
pub use emulator::{CONFIG, DESCRIPTION, Emulator, TENSORS};
pub use importance::{ImportanceArtefact, SUBSTITUTES, read_importance};
pub use layer_plan::{PlanArtefact, read_plan};
pub use layer_tensors::{put_back, tensor_mut};
pub use ledger::Ledger;
pub use module_tensors::{in_slots, named, with_tensors};
pub use parameter::Parameter;
pub use resumed::Resumed;
pub use return_artefact::{ADAPTER, ReturnArtefact, write_return};
pub use tensor_file::{TensorFile, write_tensors};
pub use trained_emulator::{
    FULLY_TUNED_LAYERS, TRAINED_LAYERS, TRAINED_SUBSTITUTES, TrainArtefact, install_layers, install_substitutes,
};
pub use training_log::{TrainingLog, Validation};
pub use tuning_record::TuningRecord;
