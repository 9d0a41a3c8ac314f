//! The low-rank question of [`Host`]: truncated singular value decompositions of several matrices.

use super::Host;
use crate::error::PluginError;
use crate::services::TruncatedSvds;
use crate::services::carrier::HostServices;
use crate::services::low_rank::{RankCut, TruncatedSvd};
use crate::tensor::{Handle, Tensor};
use crate::weight_form::WeightForm;
use std::rc::Rc;

impl Host<'_> {
    /// The nearest matrix of each rank, in the order of the question.
    ///
    /// ```
    /// use scaleot_plugin_api::{PluginError, RankCut, WeightForm};
    /// use scaleot_plugin_conformance::FakeHost;
    /// let mut fake = FakeHost::toy(2, 4);
    /// let mut host = fake.host();
    /// let weight = host.from_f32(&[3.0, 0.0, 0.0, 2.0], &[2, 2])?;
    /// let cut = RankCut::new("example", &weight, 1, false);
    /// let nearest = host.truncated_svds(&[cut])?.remove(0);
    /// let WeightForm::Dense { weight } = nearest.form else { unreachable!("two factors were not asked for") };
    /// assert_eq!(host.to_f32(&weight)?, [3.0, 0.0, 0.0, 0.0]);
    /// assert_eq!(host.to_f32(&nearest.singular_values)?, [3.0, 2.0]);
    /// # Ok::<(), PluginError>(())
    /// ```
    ///
    /// # Errors
    /// `Host` for what is no matrix or a rank that it cannot have, `Numeric` for a value that is not finite or a decomposition
    /// that does not converge, each with the matrix's name; `Unsupported` from a host that is older than this service.
    pub fn truncated_svds(&mut self, cuts: &[RankCut<&Tensor>]) -> Result<Vec<TruncatedSvd>, PluginError> {
        if cuts.is_empty() {
            return Ok(Vec::new());
        }
        let question: Vec<RankCut<Handle>> = cuts.iter().map(RankCut::on_the_wire).collect();
        let answer = self.ask::<TruncatedSvds>(&question)?;
        let made: Vec<_> = answer.into_iter().map(|svd| svd.adopt(self.services)).collect();
        if made.len() != cuts.len() {
            let (found, expected) = (made.len(), cuts.len());
            return Err(PluginError::host(format!("{found} decompositions came back, expected {expected}")));
        }
        Ok(made)
    }
}

impl RankCut<&Tensor> {
    fn on_the_wire(&self) -> RankCut<Handle> {
        let Self { name, weight, rank, factored } = self;
        RankCut { name: name.clone(), weight: weight.handle(), rank: *rank, factored: *factored }
    }
}

impl TruncatedSvd<Handle> {
    fn adopt(self, services: &mut dyn HostServices) -> TruncatedSvd {
        let owner = services.releaser();
        let adopt = |handle| Tensor::adopt(handle, Rc::clone(&owner));
        let form = match self.form {
            WeightForm::Dense { weight } => WeightForm::Dense { weight: adopt(weight) },
            WeightForm::Factored { left, right } => WeightForm::Factored { left: adopt(left), right: adopt(right) },
        };
        TruncatedSvd { form, singular_values: adopt(self.singular_values) }
    }
}
