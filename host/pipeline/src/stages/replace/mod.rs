//! Side: model owner. Takes: importance scores and substitutes. Gives: the layer plan. Plugin kind: replace.
//!
//! Adapter layers are placed first (`outer`: half at each end; `spread`: evenly; `top_score`: the most important), then the
//! replacer chooses `K` of the others.

mod run;
