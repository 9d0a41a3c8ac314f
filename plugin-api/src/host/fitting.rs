//! The local-fitting questions of [`Host`]: steps of substitutes towards their own layers, and moments of layers.

use super::Host;
use crate::error::PluginError;
use crate::services::fitting::{FitReport, FitStep, LayerMoments, MomentsRequest};
use crate::services::{LocalFit, Moments};
use crate::tensor::Tensor;
use std::rc::Rc;

impl Host<'_> {
    /// One local fit step on the next public training text; only inside [`crate::LayerReplacer::prepare`].
    ///
    /// # Errors
    /// `Host` without public text, `Numeric` when a residual is not finite.
    pub fn fit_step(&mut self, step: &FitStep) -> Result<FitReport, PluginError> {
        self.ask::<LocalFit>(step)
    }

    /// Moments of one layer's input and change, fp32.
    ///
    /// # Errors
    /// `Host` without public text or for a layer that does not exist.
    pub fn layer_moments(&mut self, request: &MomentsRequest) -> Result<LayerMoments, PluginError> {
        let moments = self.ask::<Moments>(request)?;
        let releaser = self.services.releaser();
        moments.try_map(&mut |handle| Ok(Tensor::adopt(handle, Rc::clone(&releaser))))
    }
}
