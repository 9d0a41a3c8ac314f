//! The fake host's linear CKA: on a stream that every layer changes by its cost, in feature space, with plain loops.
//!
//! `X_l = X_{l-1} + cost_l N_l`, normal values, `[samples, hidden]`. `HSIC(X, Y) = ||Yc^T Xc||_F^2` over centred columns, which
//! equals the contract's sum over Gram matrices.

use crate::random::{Stream, seed_for};
use scaleot_plugin_api::{PluginError, SimilarityRequest};

/// The outputs of a toy model's layers.
pub(crate) struct Outputs<'a> {
    /// Width of the stream.
    pub(crate) width: usize,
    /// Per layer, by how much it changes the stream.
    pub(crate) costs: &'a [f64],
    pub(crate) run_seed: u64,
}

impl Outputs<'_> {
    /// `[n, n]`, row by row.
    pub(crate) fn similarity(&self, ask: SimilarityRequest) -> Result<Vec<Vec<f64>>, PluginError> {
        let samples = ask.samples.min(64) as usize;
        if samples < 2 {
            return Err(PluginError::host(format!("{samples} samples were asked for, expected at least 2")));
        }
        let width = self.width;
        let mut stream = Stream::new(seed_for(self.run_seed, "layer outputs"));
        let mut noise = |scale: f64| (0..samples * width).map(|_| scale * stream.normal()).collect::<Vec<f64>>();
        let mut state = noise(1.0);
        let mut outputs = Vec::new();
        for cost in self.costs {
            state = state.iter().zip(noise(*cost)).map(|(value, change)| value + change).collect();
            outputs.push(centred(&state, width));
        }
        let hsic = |x: &[f64], y: &[f64]| -> f64 {
            let pairs = (0..width).flat_map(|i| (0..width).map(move |j| (i, j)));
            let product = |(i, j): (usize, usize)| {
                (0..samples).map(|row| x[row * width + i] * y[row * width + j]).sum::<f64>().powi(2)
            };
            pairs.map(product).sum()
        };
        let row = |x: &Vec<f64>| outputs.iter().map(|y| hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()).collect();
        Ok(outputs.iter().map(row).collect())
    }
}

fn centred(values: &[f64], width: usize) -> Vec<f64> {
    let rows = (values.len() / width).max(1) as f64;
    let mean = |column: usize| values.iter().skip(column).step_by(width).sum::<f64>() / rows;
    let means: Vec<f64> = (0..width).map(mean).collect();
    values.iter().enumerate().map(|(at, value)| value - means[at % width]).collect()
}
