//! The frequencies of rotary positions: `f_i = θ^(−2i/w)` of each pair, and how they were rescaled for a longer context.
//!
//! The formulas are those of Transformers 5.23 (`modeling_rope_utils.py`), in the same precision. `linear`: `f/factor`.
//! `llama3`: long waves by `factor`, short ones not, a ramp between. `yarn`: the same with a ramp over the pairs. `longrope`: a
//! factor for each pair. `proportional`: the first pairs turn, the others stand.

use std::f64::consts::TAU;

/// Rescaling of frequencies.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    None,
    Linear {
        factor: f64,
    },
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original_context: f64,
    },
    /// Pairs before the ramp keep their frequency, pairs after it have it divided by `factor`.
    Yarn {
        factor: f64,
        ramp: YarnRamp,
    },
    /// One divisor a pair, for sequences of at most `original_context` tokens.
    LongRope {
        factors: Vec<f64>,
        original_context: f64,
    },
    /// Pairs from `turning` on have the frequency 0.
    Proportional {
        turning: usize,
        factor: f64,
    },
}

/// The frequencies of a model, and what they come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    pub theta: f64,
    /// Rotated dimensions of each head: even, at most `head_dim`.
    pub dims: usize,
    /// The divisor of the exponents: `dims`, or one less where a share of the head came to an odd number.
    pub width: usize,
    pub scaling: RopeScaling,
    /// The factor of `cos` and `sin`.
    pub attention_factor: f64,
}

impl Rope {
    /// Rotary positions that were not rescaled.
    pub fn plain(theta: f64, dims: usize) -> Rope {
        Rope { theta, dims, width: dims, scaling: RopeScaling::None, attention_factor: 1.0 }
    }

    /// One frequency per rotated pair. In f32, as Transformers computes them.
    pub fn frequencies(&self) -> Vec<f32> {
        (0..self.dims / 2).map(|pair| self.scale_at(pair)).collect()
    }

    /// The most tokens of a sequence for which these frequencies hold, where there is a limit.
    pub fn longest(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::LongRope { original_context, .. } => Some(original_context as usize),
            _ => None,
        }
    }

    /// `θ^(2i/w)`: the wavelength of a pair over 2π.
    fn period(&self, pair: usize) -> f32 {
        (self.theta as f32).powf((2 * pair) as f32 / self.width as f32)
    }

    fn scale_at(&self, pair: usize) -> f32 {
        let period = self.period(pair);
        let frequency = 1.0 / period;
        match &self.scaling {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / *factor as f32,
            RopeScaling::Llama3 { factor, low, high, original_context } => {
                let wavelength = TAU / f64::from(frequency);
                if wavelength < original_context / high {
                    return frequency;
                }
                let long = f64::from(frequency) / factor;
                if wavelength > original_context / low {
                    return long as f32;
                }
                let smooth = (original_context / wavelength - low) / (high - low);
                ((1.0 - smooth) * long + smooth * f64::from(frequency)) as f32
            }
            RopeScaling::Yarn { factor, ramp } => {
                let (kept, stretched) = ramp.ramp_ends(self.theta, self.width);
                let ramp = ((pair as f32 - kept as f32) / (stretched - kept) as f32).clamp(0.0, 1.0);
                let long = 1.0 / (*factor as f32 * period);
                long * ramp + frequency * (1.0 - ramp)
            }
            RopeScaling::LongRope { factors, .. } => 1.0 / (factors.get(pair).copied().unwrap_or(1.0) as f32 * period),
            RopeScaling::Proportional { turning, .. } if pair >= *turning => 0.0,
            RopeScaling::Proportional { factor, .. } => frequency / *factor as f32,
        }
    }
}

/// Between which pairs YaRN's ramp lies, from the turns that a pair makes in the original context: `beta_fast` and `beta_slow`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct YarnRamp {
    pub beta_fast: f64,
    pub beta_slow: f64,
    pub original_context: f64,
    /// True where the ends are moved to whole pairs.
    pub truncate: bool,
}

impl YarnRamp {
    /// The last pair that keeps its frequency and the first that is stretched, for a base over so many dimensions.
    fn ramp_ends(&self, theta: f64, width: usize) -> (f64, f64) {
        let pair_of = |turns: f64| width as f64 * (self.original_context / (turns * TAU)).ln() / (2.0 * theta.ln());
        let (mut kept, mut stretched) = (pair_of(self.beta_fast), pair_of(self.beta_slow));
        if self.truncate {
            (kept, stretched) = (kept.floor(), stretched.ceil());
        }
        (kept, stretched) = (kept.max(0.0), stretched.min(width as f64 - 1.0));
        if kept == stretched {
            // As Transformers does, so that nothing is divided by zero.
            stretched += 0.001;
        }
        (kept, stretched)
    }
}
