//! The table of `scaleot compress`: ranks and hidden energy by the role of a matrix. Each single matrix is in the JSON.

use super::output::table;
use comfy_table::CellAlignment;
use scaleot_pipeline::artefacts::LayerCompression;
use scaleot_pipeline::report::fitted;
use scaleot_plugin_api::{MatrixReport, WeightRole};

/// One row per role: how many, the rank that is left, and the share of energy that the data owner cannot see.
pub fn by_role(layers: &[LayerCompression]) -> String {
    let mut table = table(&["matrix", "layers", "rank", "hidden energy, mean", "least", "most"]);
    for role in WeightRole::ALL {
        let matrices = layers.iter().flat_map(|layer| &layer.report.matrices);
        let matrices: Vec<_> = matrices.filter(|matrix| matrix.role == role).collect();
        if let Some(first) = matrices.first() {
            table.add_row(row(first, &matrices));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    fitted(&mut table)
}

/// Matrices of one role have one shape, so they share their ranks.
fn row(first: &MatrixReport, matrices: &[&MatrixReport]) -> Vec<String> {
    let shares = || matrices.iter().map(|matrix| matrix.residual_energy);
    let percent = |share: f64| format!("{:.3} %", 100.0 * share);
    vec![
        first.role.to_string(),
        matrices.len().to_string(),
        format!("{} of {}", first.rank, first.full_rank),
        percent(shares().sum::<f64>() / matrices.len() as f64),
        percent(shares().fold(f64::INFINITY, f64::min)),
        percent(shares().fold(0.0, f64::max)),
    ]
}
