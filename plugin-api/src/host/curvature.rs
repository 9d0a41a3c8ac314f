//! The curvature question of [`Host`]: the loss around a layer's matrices.

use super::Host;
use crate::error::PluginError;
use crate::outline::WeightRole;
use crate::services::Curvatures;
use crate::services::curvature::{Curvature, CurvatureRequest};
use crate::tensor::{Handle, Tensor};
use std::rc::Rc;

impl Host<'_> {
    /// The curvature around every matrix of a layer, fp32, by role: one forward and backward pass a batch.
    ///
    /// # Errors
    /// `Host` without public text or for a layer that does not exist.
    pub fn layer_curvature(&mut self, request: &CurvatureRequest) -> Result<Vec<(WeightRole, Curvature)>, PluginError> {
        let found = self.ask::<Curvatures>(request)?;
        let owner = self.services.releaser();
        let adopt = |(role, curvature): (WeightRole, Curvature<Handle>)| {
            let adopted = curvature.try_map(&mut |handle| Ok(Tensor::adopt(handle, Rc::clone(&owner))));
            adopted.map(|curvature| (role, curvature))
        };
        found.into_iter().map(adopt).collect()
    }
}
