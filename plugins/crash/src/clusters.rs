//! Adjacent clustering and centres (CRaSh, section 5): every layer starts as a cluster, the two neighbours that are most alike
//! merge, and a cluster `[a, b)` keeps its layer `a + (b - a) / 2`.
//!
//! A cluster that has adapter layers keeps these instead of its centre. A merge then takes one kept layer away or none, so there
//! is a clustering for every number from the adapters' up; where adapters are centres themselves, it is that of the paper.

/// The layers that stay, ascending: the adapters, and the centre of every cluster without one, `keep` in all. `boundary[i]` is how
/// unlike layers `i - 1` and `i` are; of equal ones the shallower goes first. `None` when `keep` cannot be reached.
#[must_use]
pub fn centres(boundary: &[f32], adapters: &[usize], keep: usize) -> Option<Vec<usize>> {
    if keep == 0 && adapters.is_empty() {
        return Some(Vec::new());
    }
    let mut order: Vec<usize> = (1..boundary.len()).collect();
    let unlike = |index: &usize| boundary.get(*index).copied().unwrap_or(f32::MAX);
    order.sort_by(|a, b| unlike(a).total_cmp(&unlike(b)));
    let mut starts: Vec<usize> = (0..boundary.len()).collect();
    let mut merges = order.into_iter();
    loop {
        let kept = kept(&starts, boundary.len(), adapters);
        if kept.len() <= keep {
            return (kept.len() == keep).then_some(kept);
        }
        let gone = merges.next()?;
        starts.retain(|&start| start != gone);
    }
}

fn kept(starts: &[usize], n_layers: usize, adapters: &[usize]) -> Vec<usize> {
    let ends = starts.iter().skip(1).copied().chain([n_layers]);
    let of_cluster = |(&start, end): (&usize, usize)| {
        let own: Vec<usize> = adapters.iter().copied().filter(|layer| (start..end).contains(layer)).collect();
        if own.is_empty() { vec![start + (end - start) / 2] } else { own }
    };
    starts.iter().zip(ends).flat_map(of_cluster).collect()
}
