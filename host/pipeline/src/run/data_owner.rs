//! The data owner's side of a run: an emulator, and no way to a model.

use super::core::{Party, RunCore};
use crate::artefacts::Emulator;
use crate::error::StageError;
use std::path::Path;

/// The data owner at work on a run. It reads the bundle and the data, never the model.
pub struct DataOwnerRun<'a> {
    pub(crate) core: &'a mut RunCore,
    pub(crate) emulator: Emulator,
    /// True where the bundle alone says what trains: it came from elsewhere and the config names no adapter.
    pub(crate) bundle_decides: bool,
}

impl<'a> DataOwnerRun<'a> {
    /// The data owner's side of a run on a bundle, this run's own unless one is named.
    ///
    /// # Errors
    /// No bundle, or one that is refused.
    pub fn new(core: &'a mut RunCore, bundle: Option<&Path>) -> Result<Self, StageError> {
        let emulator = match bundle {
            Some(folder) => {
                let emulator = Emulator::open(folder, core.placement)?;
                core.config.check_bundle_layers(emulator.description().adapters().count())?;
                emulator
            }
            None => core.own_emulator()?,
        };
        let bundle_decides = bundle.is_some() && core.config.names_no_adapter();
        Ok(Self { core, emulator, bundle_decides })
    }
}

impl Party for DataOwnerRun<'_> {
    fn core_mut(&mut self) -> &mut RunCore {
        self.core
    }
}
