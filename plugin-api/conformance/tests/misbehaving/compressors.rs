//! Compressors that break a promise each.

use scaleot_plugin_api::{
    CompressionReport, Compressor, Host, LayerWeights, MatrixReport, PluginError, WeightForm, WeightRole, export_plugin,
};

crate::faults! { Compressor_:
    RESHAPES = 0, INFINITE = 1, SILENT = 2, TWICE = 3, WRONG_RANK = 4, RANK_ZERO = 5, WRONG_ENERGY = 6, ZERO_BY_ZERO = 7,
    NORM = 8, MISFIT = 9, TWICE_SET = 10,
}

/// Halves the first projection up: an honest report would be rank 8 of 8 and an energy of 0.25.
impl<const FAULT: usize> Compressor for Compressor_<FAULT> {
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
        let role = if FAULT == NORM { WeightRole::NormMlp } else { WeightRole::MlpUp };
        let Some(up) = layer.get(role) else { return Err(PluginError::failed("no such weight")) };
        let full_rank = host.shape(up)?.into_iter().min().unwrap_or(0);
        let norm = host.norm(up)?;
        let weight = host.scale(up, if FAULT == INFINITE { f64::INFINITY } else { 0.5 })?;
        let form = match FAULT {
            RESHAPES => WeightForm::Dense { weight: host.transpose(&weight)? },
            MISFIT => {
                let right = host.zeros(&[1, 1])?;
                WeightForm::Factored { left: weight, right }
            }
            _ => WeightForm::Dense { weight },
        };
        layer.set(role, form)?;
        if FAULT == TWICE_SET {
            let weight = host.zeros(&[1])?;
            layer.set(role, WeightForm::Dense { weight })?;
        }
        let rank = [(WRONG_RANK, 1), (RANK_ZERO, 0)].iter().find(|(fault, _)| *fault == FAULT).map(|(_, rank)| *rank);
        let residual_energy = match FAULT {
            WRONG_ENERGY => 0.5,
            ZERO_BY_ZERO => 0.25 * norm / norm,
            _ if norm == 0.0 => 0.0,
            _ => 0.25,
        };
        let report = MatrixReport::new(role, rank.unwrap_or(full_rank), full_rank, residual_energy);
        let count = match FAULT {
            SILENT => 0,
            TWICE => 2,
            _ => 1,
        };
        Ok(CompressionReport::new(vec![report; count]))
    }
}

export_plugin! {
    name: "compressors",
    about: "Compressors that break a promise each.",
    built_in,
    strategies: {
        "reshapes": compress Compressor_<RESHAPES>, "Gives the transpose.";
        "infinite": compress Compressor_<INFINITE>, "Gives infinities.";
        "silent": compress Compressor_<SILENT>, "Reports nothing.";
        "twice": compress Compressor_<TWICE>, "Reports a matrix twice.";
        "wrong-rank": compress Compressor_<WRONG_RANK>, "Reports a rank that it does not leave.";
        "rank-zero": compress Compressor_<RANK_ZERO>, "Reports a rank of 0.";
        "wrong-energy": compress Compressor_<WRONG_ENERGY>, "Reports more energy than it hides.";
        "zero-by-zero": compress Compressor_<ZERO_BY_ZERO>, "Divides by a norm of 0.";
        "norm": compress Compressor_<NORM>, "Compresses a norm.";
        "misfit": compress Compressor_<MISFIT>, "Gives factors that have no product.";
        "twice-set": compress Compressor_<TWICE_SET>, "Sets a weight twice.";
    }
}

#[test]
fn are_found() {
    let weights = "gives weights of the same shape, finite";
    let reports = "reports every matrix that it changed, once";
    let ranks = "leaves the ranks that it reports";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("reshapes", weights, "mlp.up is (16, 8), its new form (8, 16)"),
            ("infinite", weights, "mlp.up is not finite any more"),
            ("silent", reports, "mlp.up: 0 reports"),
            ("twice", reports, "mlp.up: 2 reports"),
            ("wrong-rank", ranks, "mlp.up: rank 1 is reported, 8 is left"),
            ("rank-zero", ranks, "mlp.up: rank 0 of 8"),
            ("wrong-energy", "hides the energy that it reports", "mlp.up: 0.5 is reported, 0.25"),
            ("zero-by-zero", "takes a layer of zeros", "the residual energy of mlp.up is NaN"),
            ("norm", weights, "norm.mlp is no matrix of the layer"),
            ("misfit", weights, "the new form of mlp.up has the shapes [16, 8] and [1, 1]"),
            ("twice-set", weights, "mlp.up of layer 0 was compressed twice"),
        ],
    );
}
