//! The full model with a substitute beside every layer, and the numbers that plugins ask of it over public text.

mod curvature;
mod layer_mixture;
mod lazy;
mod local_fit;
mod moments;
mod public_text;
mod similarity;
mod statistics;

#[cfg(test)]
mod tests;

pub use layer_mixture::{Mixture, MixtureState};
pub use lazy::{LazyMixture, ReadText};
pub use moments::MomentSource;
pub use public_text::PublicText;
