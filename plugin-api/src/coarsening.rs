//! Two ways to make a matrix coarser, value by value, defined once: the host measures what they cost, plugins apply them.

/// Sets the `share` of the values that are smallest in magnitude to 0: `floor(share n)` of them, the earlier among equals.
///
/// ```
/// let mut values = [0.5, -0.1, 0.3, -0.2, 0.1];
/// scaleot_plugin_api::prune_smallest(&mut values, 0.6);
/// assert_eq!(values, [0.5, 0.0, 0.3, 0.0, 0.0]);
/// ```
pub fn prune_smallest(values: &mut [f32], share: f64) {
    // Counts are far below 2^52, so the conversions are exact.
    let count = ((values.len() as f64 * share).floor() as usize).min(values.len());
    let mut order: Vec<usize> = (0..values.len()).collect();
    if count < values.len() {
        let magnitude = |index: usize| values.get(index).copied().unwrap_or(0.0).abs();
        order.select_nth_unstable_by(count, |&a, &b| magnitude(a).total_cmp(&magnitude(b)).then(a.cmp(&b)));
    }
    for &index in order.iter().take(count) {
        if let Some(value) = values.get_mut(index) {
            *value = 0.0;
        }
    }
}

/// Rounds every group of `group` values to `bits` bits, symmetric about 0, and back: `s = max |v| / (2^(bits-1) - 1)`,
/// `v = s round(v / s)` with ties to even. One bit would leave no step above 0: fewer than 2 count as 2.
///
/// ```
/// let mut rows = [3.0, -1.0, 0.4, 7.0, 0.0, 0.0];
/// scaleot_plugin_api::round_to_bits(&mut rows, 3, 3); // steps of 1 in the first row, of 7/3 in the second
/// assert_eq!(rows, [3.0, -1.0, 0.0, 7.0, 0.0, 0.0]);
/// ```
pub fn round_to_bits(values: &mut [f32], group: usize, bits: u32) {
    let levels = ((1_u64 << (bits.clamp(2, 24) - 1)) - 1) as f32;
    for row in values.chunks_mut(group.max(1)) {
        let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let step = largest / levels;
        if step > 0.0 && step.is_finite() {
            row.iter_mut().for_each(|value| *value = (*value / step).round_ties_even() * step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_go_and_the_earlier_among_equals() {
        let pruned = |share| {
            let mut values = [1.0, -1.0, 1.0, 2.0];
            prune_smallest(&mut values, share);
            values
        };
        assert_eq!(pruned(0.0), [1.0, -1.0, 1.0, 2.0]);
        assert_eq!(pruned(0.49), [0.0, -1.0, 1.0, 2.0], "floor(1.96) = 1");
        assert_eq!(pruned(0.5), [0.0, 0.0, 1.0, 2.0]);
        assert_eq!(pruned(1.0), [0.0; 4]);
        prune_smallest(&mut [], 0.5);
    }

    #[test]
    fn rows_are_rounded_to_their_own_steps() {
        // 4 bits: 7 steps to the largest. Ties go to the even step: 0.5 to 0, 1.5 to 2.
        let mut values = [7.0, 0.5, 1.5, -2.5, 70.0, 5.0, 14.0, -0.4];
        round_to_bits(&mut values, 4, 4);
        assert_eq!(values, [7.0, 0.0, 2.0, -2.0, 70.0, 0.0, 10.0, 0.0]);
        let mut zeros = [0.0; 3];
        round_to_bits(&mut zeros, 3, 8);
        assert_eq!(zeros, [0.0; 3]);
    }
}
