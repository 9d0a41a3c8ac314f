//! The check that a module maps `[tokens, width]` to `[tokens, width]`: asked when a plugin gives it, long before it would run.

use scaleot_plugin_api::{Module, NormKind};
use scaleot_tensor::Tensor;

/// Fails with what was found and what was expected of a layer of this width in a model of `n_layers`.
pub fn check_module(module: &Module<Tensor>, width: usize, n_layers: usize) -> Result<(), (String, String)> {
    let width = width as i64;
    let found = output_width(module, width, n_layers)?;
    if found == width {
        Ok(())
    } else {
        Err((format!("a module from {width} to {found} values"), format!("{width} values")))
    }
}

/// The number of values that a module makes of `width`.
fn output_width(module: &Module<Tensor>, width: i64, n_layers: usize) -> Result<i64, (String, String)> {
    let vector = |bias: &Option<Tensor>, size| bias.as_ref().is_none_or(|bias| bias.shape() == [size]);
    match module {
        Module::Identity | Module::Activation { .. } => Ok(width),
        Module::Linear { weight, bias } => match *weight.shape() {
            [outputs, inputs] if inputs == width && outputs > 0 && vector(bias, outputs) => Ok(outputs),
            _ => {
                Err((format!("{} in a linear part", shapes(weight, bias)), format!("[outputs, {width}] and [outputs]")))
            }
        },
        Module::Norm { function, weight, bias, epsilon } => {
            let fits = weight.shape() == [width] && vector(bias, width) && epsilon.is_finite() && *epsilon > 0.0;
            if fits && (bias.is_none() || *function == NormKind::Layer) {
                return Ok(width);
            }
            let found = format!("{}, epsilon {epsilon} in a {function:?} norm", shapes(weight, bias));
            Err((found, format!("[{width}], a bias of [{width}] with a Layer norm only, and an epsilon above 0")))
        }
        Module::Sequential { modules } => {
            modules.iter().try_fold(width, |width, module| output_width(module, width, n_layers))
        }
        Module::Residual { module } => match output_width(module, width, n_layers)? {
            found if found == width => Ok(width),
            found => Err((format!("a residual that adds {found} values to {width}"), format!("{width} values"))),
        },
        Module::SharedWith { layer } if *layer < n_layers => Ok(width),
        Module::SharedWith { layer } => {
            Err((format!("a share of layer {layer}"), format!("one of the layers 0 to {}", n_layers.saturating_sub(1))))
        }
        other => Err((format!("a part {other:?}"), "one that this host knows".into())),
    }
}

fn shapes(weight: &Tensor, bias: &Option<Tensor>) -> String {
    match bias {
        None => format!("a weight of {:?}", weight.shape()),
        Some(bias) => format!("a weight of {:?} and a bias of {:?}", weight.shape(), bias.shape()),
    }
}
