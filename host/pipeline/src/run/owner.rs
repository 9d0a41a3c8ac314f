//! The model owner's side of a run.

use super::core::{Party, RunCore};
use super::data_owner::DataOwnerRun;
use crate::error::StageError;
use crate::load::{fingerprint, outline};
use scaleot_model::Model;
use scaleot_plugin_api::ModelOutline;
use scaleot_store::Digest;
use std::rc::Rc;

/// The owner's model with what is derived from it.
pub struct OwnerModel {
    /// Weights stay mapped.
    pub model: Model,
    /// The part of it that plugins may know.
    pub outline: ModelOutline,
    /// The digest that the model is known by.
    pub fingerprint: Digest,
}

/// The model owner at work on a run. The owner's stages are its methods.
pub struct OwnerRun<'a> {
    pub(crate) core: &'a mut RunCore,
    model: Option<Rc<OwnerModel>>,
}

impl<'a> OwnerRun<'a> {
    /// The owner's side of a run; nothing is loaded yet.
    pub fn new(core: &'a mut RunCore) -> Self {
        Self { core, model: None }
    }

    /// The model, loaded once.
    ///
    /// # Errors
    /// The fault of the folder.
    pub fn model(&mut self) -> Result<Rc<OwnerModel>, StageError> {
        if let Some(model) = &self.model {
            return Ok(Rc::clone(model));
        }
        let folder = self.core.config.model.path.clone();
        let model = Model::load(&folder, self.core.placement.device, self.core.placement.dtype)?;
        let outline = outline(&model.decoder);
        let fingerprint = fingerprint(&folder, model.weights())?;
        let loaded = Rc::new(OwnerModel { outline, fingerprint, model });
        self.model = Some(Rc::clone(&loaded));
        Ok(loaded)
    }

    /// The other party on the same machine, on this run's own bundle.
    ///
    /// # Errors
    /// No bundle yet, or one that is refused.
    pub fn data_owner(&mut self) -> Result<DataOwnerRun<'_>, StageError> {
        DataOwnerRun::new(self.core, None)
    }

    /// The run itself.
    pub fn core(&self) -> &RunCore {
        self.core
    }
}

impl Party for OwnerRun<'_> {
    fn core_mut(&mut self) -> &mut RunCore {
        self.core
    }
}
