//! Means over seeds, standard errors, and the paired test between two methods on the same questions.
//!
//! Paired: `d_q = mean over seeds of A's value of question q - the same of B`; `t = mean(d) / (s_d / sqrt(n))` with `n - 1`
//! degrees of freedom and a two-sided p value (Student, 1908). The sample is the questions: the test says how sure a difference
//! is on other questions of the task, not on other seeds. Holm (1979) corrects for the number of pairs.

use statrs::distribution::{ContinuousCDF as _, StudentsT};
use std::collections::BTreeMap;

use super::result::{Over, Summary};
use scaleot_pipeline::evaluation::Estimate;

/// Values of one metric by question, for one seed.
pub(crate) type Values = BTreeMap<String, f64>;

/// The summary of one figure over seeds; `models` says how many of the seeds have a model of their own.
///
/// Seeds that share one model say nothing about seeds: then the questions of the first are the sample.
pub(crate) fn summary(seeds: &[Estimate], models: usize) -> Option<Summary> {
    let means: Vec<f64> = seeds.iter().map(|seed| seed.mean).collect();
    let Estimate { mean, stderr, n } = Estimate::of(&means)?;
    if models > 1 && models == seeds.len() {
        return Some(Summary { mean, stderr, over: Over::Seeds, seeds: n });
    }
    let stderr = seeds.first().and_then(|seed| seed.stderr);
    Some(Summary { mean, stderr, over: Over::Questions, seeds: n })
}

/// Mean and standard error over the questions.
pub(crate) fn estimate(values: &Values) -> Option<Estimate> {
    Estimate::of(&values.values().copied().collect::<Vec<_>>())
}

/// `sign * (a - b)` for each question; `None` unless both have the same questions.
pub(crate) fn differences(a: &Values, b: &Values, sign: f64) -> Option<Values> {
    if !a.keys().eq(b.keys()) {
        return None;
    }
    Some(a.iter().zip(b.values()).map(|((question, a), b)| (question.clone(), sign * (a - b))).collect())
}

/// Each question's mean over seeds; `None` unless all have the same questions.
pub(crate) fn average(seeds: &[&Values]) -> Option<Values> {
    let (first, others) = seeds.split_first()?;
    let mut sums: Values = (*first).clone();
    for other in others {
        if !other.keys().eq(sums.keys()) {
            return None;
        }
        sums.values_mut().zip(other.values()).for_each(|(sum, value)| *sum += value);
    }
    sums.values_mut().for_each(|sum| *sum /= seeds.len() as f64);
    Some(sums)
}

/// A paired t test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paired {
    pub difference: f64,
    pub stderr: Option<f64>,
    pub questions: usize,
    /// t and the two-sided p value; none where the differences do not vary.
    pub t: Option<(f64, f64)>,
}

/// Tests whether the mean of the differences is zero; `None` without a question.
pub(crate) fn paired_test(differences: &Values) -> Option<Paired> {
    let Estimate { mean, stderr, n } = estimate(differences)?;
    let t = stderr.filter(|stderr| *stderr > 0.0).and_then(|stderr| {
        let t = mean / stderr;
        let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
        Some((t, (2.0 * student.sf(t.abs())).min(1.0)))
    });
    Some(Paired { difference: mean, stderr, questions: n, t })
}

/// Holm's step-down correction: the i-th smallest of m p values times m - i, never below an earlier one, at most 1.
pub(crate) fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p.iter().enumerate().filter_map(|(index, p)| Some((index, (*p)?))).collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let (m, mut largest) = (order.len(), 0.0_f64);
    let mut corrected = vec![None; p.len()];
    for (rank, (index, p)) in order.into_iter().enumerate() {
        largest = largest.max((p * (m - rank) as f64).min(1.0));
        if let Some(place) = corrected.get_mut(index) {
            *place = Some(largest);
        }
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[f64]) -> Values {
        list.iter().enumerate().map(|(index, value)| (format!("q{index:02}"), *value)).collect()
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
    }

    #[test]
    fn the_paired_t_test_of_the_sleep_data() {
        // Student (1908), extra hours of sleep of ten patients under two drugs; R: t.test(extra ~ group, paired = TRUE)
        // gives t = -4.0621, df = 9, p = 0.002833, mean difference -1.58.
        let first = values(&[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]);
        let second = values(&[1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]);
        let test = paired_test(&differences(&first, &second, 1.0).unwrap()).unwrap();
        near(test.difference, -1.58);
        let (t, p) = test.t.unwrap();
        assert!((t + 4.062_127_683).abs() < 1e-8 && (p - 0.002_832_890).abs() < 1e-8, "{t} {p}");
        assert_eq!(test.questions, 10);
    }

    #[test]
    fn differences_that_do_not_vary_have_no_test() {
        let same = values(&[1.0, 0.0, 1.0]);
        let test = paired_test(&differences(&same, &same, 1.0).unwrap()).unwrap();
        assert_eq!((test.difference, test.stderr, test.t), (0.0, Some(0.0), None));
        assert_eq!(paired_test(&values(&[0.5])).unwrap().t, None);
        assert_eq!(paired_test(&Values::new()), None);
        assert_eq!(differences(&same, &values(&[1.0, 0.0]), 1.0), None);
    }

    #[test]
    fn three_seeds_are_the_sample_where_each_has_a_model() {
        let seeds = [&[1.0, 0.0], &[1.0, 1.0], &[0.0, 0.0]].map(|list| estimate(&values(list)).unwrap());
        // Means 0.5, 1, 0: mean 0.5, s = 0.5, stderr = 0.5 / sqrt(3).
        let own = summary(&seeds, 3).unwrap();
        near(own.stderr.unwrap(), 0.288_675_134_594_812_9);
        assert_eq!((own.mean, own.over, own.seeds), (0.5, Over::Seeds, 3));
        // One model for all of them: the two questions of the first are the sample, s = sqrt(0.5), stderr = 0.5.
        let shared = summary(&seeds, 1).unwrap();
        near(shared.stderr.unwrap(), 0.5);
        assert_eq!(shared.over, Over::Questions);
        assert_eq!(summary(&seeds[..1], 1).unwrap().over, Over::Questions);
        assert!(summary(&[], 0).is_none());
    }

    #[test]
    fn a_question_is_averaged_over_seeds() {
        let seeds = [values(&[1.0, 0.0]), values(&[0.0, 0.0])];
        assert_eq!(average(&seeds.iter().collect::<Vec<_>>()).unwrap(), values(&[0.5, 0.0]));
        assert_eq!(average(&[&seeds[0], &values(&[1.0])]), None);
    }

    #[test]
    fn holms_correction() {
        // By hand: 0.01 * 3, then 0.02 * 2, then max(0.04, 0.03 * 1).
        let corrected = holm(&[Some(0.03), None, Some(0.01), Some(0.02)]);
        let expected = [Some(0.04), None, Some(0.03), Some(0.04)];
        for (found, expected) in corrected.iter().zip(expected) {
            assert_eq!(found.is_some(), expected.is_some());
            found.zip(expected).into_iter().for_each(|(found, expected)| near(found, expected));
        }
    }
}
