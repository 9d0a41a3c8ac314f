//! The host's answer to `truncated_svds`: handles in, nearest matrices of lower rank out, one matrix per core.

use super::arena::Arena;
use scaleot_plugin_api::{ErrorCode, Handle, PluginError, RankCut, WeightForm};
use scaleot_tensor::{Cut, TensorError, TruncatedSvd, WeightForm as RunForm, truncated_svds};

/// Answers the question, in its order.
///
/// # Errors
/// As [`scaleot_plugin_api::Host::truncated_svds`].
pub fn answer(
    arena: &Arena,
    asked: &[RankCut<Handle>],
) -> Result<Vec<scaleot_plugin_api::TruncatedSvd<Handle>>, PluginError> {
    let cuts = asked.iter().map(|cut| checked(cut, arena)).collect::<Result<Vec<_>, _>>()?;
    let made = truncated_svds(cuts).into_iter().zip(asked);
    let made = made.map(|(svd, cut)| svd.map_err(|error| failed(cut, &error))).collect::<Result<Vec<_>, _>>()?;
    Ok(made.into_iter().map(|svd| kept(svd, arena)).collect())
}

/// A cut that can be made: a finite matrix, and a rank that it can have.
fn checked(cut: &RankCut<Handle>, arena: &Arena) -> Result<Cut, PluginError> {
    let weight = arena.get(cut.weight)?;
    let shape: Vec<usize> = weight.shape().into_iter().map(|size| usize::try_from(size).unwrap_or(0)).collect();
    cut.check(&shape)?;
    if !weight.is_finite_all().map_err(|error| failed(cut, &error))? {
        let text = format!("{} has a value that is not finite", cut.name);
        return Err(PluginError::new(ErrorCode::Numeric, text));
    }
    Ok(Cut { weight, rank: i64::try_from(cut.rank).unwrap_or(i64::MAX), factored: cut.factored })
}

/// Shape, rank and values were checked, so what is left to fail is convergence.
fn failed(cut: &RankCut<Handle>, error: &TensorError) -> PluginError {
    PluginError::new(ErrorCode::Numeric, format!("{}: {error}", cut.name))
}

fn kept(svd: TruncatedSvd, arena: &Arena) -> scaleot_plugin_api::TruncatedSvd<Handle> {
    let form = match svd.nearest {
        RunForm::Dense(weight) => WeightForm::Dense { weight: arena.put(weight) },
        RunForm::Factored { left, right } => WeightForm::Factored { left: arena.put(left), right: arena.put(right) },
    };
    scaleot_plugin_api::TruncatedSvd::new(form, arena.put(svd.singular_values))
}

#[cfg(test)]
#[path = "low_rank_tests.rs"]
mod tests;
