//! Runs a module description: what may stand in a layer's place, on `[tokens, hidden]`.
//!
//! A harmonizer is `Residual(Sequential(Linear, Activation, Linear))`, a dropped layer `Identity`,
//! a shared one `SharedWith`. All but `SharedWith` work token by token.

use super::config::host_activation;
use super::error::{ModelError, Result};
use super::norm::Norm;
use scaleot_plugin_api::Module;
use scaleot_tensor::Tensor;

/// A module and its tensors, as the host runs it.
pub type ModuleRunner = Module<Tensor>;

/// Runs the layer of a slot for `SharedWith`.
pub(super) type RunLayer<'a> = &'a dyn Fn(usize, &Tensor) -> Result<Tensor>;

/// True if every token is computed by itself.
pub(super) fn is_token_wise(module: &ModuleRunner) -> bool {
    match module {
        Module::SharedWith { .. } => false,
        Module::Sequential { modules } => modules.iter().all(is_token_wise),
        Module::Residual { module } => is_token_wise(module),
        _ => true,
    }
}

/// Every layer that the module shares, in the order of the computation.
pub(super) fn shared_layers(module: &ModuleRunner) -> Vec<usize> {
    match module {
        Module::SharedWith { layer } => vec![*layer],
        Module::Sequential { modules } => modules.iter().flat_map(shared_layers).collect(),
        Module::Residual { module } => shared_layers(module),
        _ => Vec::new(),
    }
}

/// `[tokens, hidden] → [tokens, hidden]`.
pub(super) fn forward(module: &ModuleRunner, x: &Tensor, run_layer: RunLayer<'_>) -> Result<Tensor> {
    match module {
        Module::Identity => Ok(x.clone()),
        Module::Linear { weight, bias } => {
            let (weight, bias) = (to_place_of(weight, x)?, bias.as_ref().map(|bias| to_place_of(bias, x)).transpose()?);
            Ok(x.linear(&weight, bias.as_ref())?)
        }
        Module::Activation { function } => Ok(host_activation(*function)?.apply(x)?),
        Module::Norm { function, weight, bias, epsilon } => {
            let (weight, bias) = (to_place_of(weight, x)?, bias.as_ref().map(|bias| to_place_of(bias, x)).transpose()?);
            Ok(Norm { kind: *function, weight, bias, epsilon: *epsilon }.forward(x)?)
        }
        Module::Sequential { modules } => {
            modules.iter().try_fold(x.clone(), |x, module| forward(module, &x, run_layer))
        }
        Module::Residual { module } => Ok(x.add(&forward(module, x, run_layer)?)?),
        Module::SharedWith { layer } => run_layer(*layer, x),
        other => Err(ModelError::unknown_part(other)),
    }
}

/// A trained tensor stays in fp32; it is cast where the layers around it are narrower.
fn to_place_of(tensor: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_dtype(x.dtype())?)
}
