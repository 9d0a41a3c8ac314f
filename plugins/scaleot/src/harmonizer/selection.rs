//! The choice of the layers that give way: group by group (ScaleOT, section 3.2), or any, as a control.
//!
//! Per group: every contiguous group of `N_g` layers gives its least important one, then its second, and so on; in the last
//! round, which may be partial, the least important candidates of all groups go. With `K = round(N_g alpha)` per group this is
//! the rule of the public copy, and no long run of layers vanishes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use scaleot_plugin_api::{ImportanceScores, LayerPlan, PluginError, ReplaceRequest};

/// The plan that replaces group by group.
///
/// # Errors
/// `Failed` when more layers are asked for than there are, or when there is not one score per layer.
pub fn per_group(scores: &ImportanceScores, ask: &ReplaceRequest, group_size: usize) -> Result<LayerPlan, PluginError> {
    let middle = ask.middle();
    if ask.replace_count > middle.len() || scores.scores.len() != ask.n_layers {
        return Err(PluginError::failed(format!(
            "{} of {} layers are to be replaced, with {} scores for {} layers",
            ask.replace_count,
            middle.len(),
            scores.scores.len(),
            ask.n_layers
        )));
    }
    let mut taken_of_group = vec![0usize; ask.n_layers.div_ceil(group_size.max(1))];
    // Least important first; each is labelled with the round in which its group gives it.
    let mut candidates = Vec::new();
    for layer in scores.ascending().into_iter().filter(|layer| middle.contains(layer)) {
        if let Some(taken) = taken_of_group.get_mut(layer / group_size.max(1)) {
            candidates.push((*taken, layer));
            *taken += 1;
        }
    }
    // Stable: within a round the order of importance stays.
    candidates.sort_by_key(|(round, _)| *round);
    let replaced: Vec<usize> = candidates.into_iter().take(ask.replace_count).map(|(_, layer)| layer).collect();
    LayerPlan::from_replaced(ask, &replaced)
}

/// Any `K` layers that are no adapters, every choice as likely: the first `K` of a shuffle by ChaCha8 from `choice`.
///
/// # Errors
/// `Failed` when more layers are asked for than there are.
pub fn random(ask: &ReplaceRequest, choice: u64) -> Result<LayerPlan, PluginError> {
    let mut stream = ChaCha8Rng::seed_from_u64(choice);
    let scores = (0..ask.n_layers).map(|_| (stream.next_u32() >> 8) as f32).collect();
    LayerPlan::least_important(&ImportanceScores::new(scores), ask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::LayerRole;

    #[test]
    fn every_group_gives_before_any_gives_twice() {
        // Globally the four least important are 4, 5, 6, 7: a whole run.
        let scores = ImportanceScores::new(vec![9.0, 8.0, 7.0, 6.5, 0.1, 0.2, 0.3, 0.4, 5.0, 4.0, 6.0, 9.5]);
        let ask = |replace_count| ReplaceRequest::new(12, vec![0, 11], replace_count);
        let replaced = |count| per_group(&scores, &ask(count), 4).map(|plan| plan.layers_with(LayerRole::Replace));
        assert_eq!(replaced(3), Ok(vec![3, 4, 9]));
        assert_eq!(replaced(4), Ok(vec![3, 4, 5, 9]), "the second round starts with the least important candidate");
        assert_eq!(replaced(10), Ok((1..=10).collect()));
        assert!(replaced(11).is_err());
    }

    #[test]
    fn random_choices_differ_and_repeat() {
        let ask = ReplaceRequest::new(12, vec![0, 11], 4);
        let replaced = |choice| random(&ask, choice).unwrap().layers_with(LayerRole::Replace);
        let choices: std::collections::BTreeSet<_> = (0..20).map(replaced).collect();
        assert!(choices.len() > 15 && choices.iter().flatten().all(|layer| (1..=10).contains(layer)));
        assert_eq!(replaced(3), replaced(3));
    }
}
