//! Suites through the program: shared stages, resumption, missing cells, what is refused, statistics, the choice.

mod suite {
    pub mod digests;
    pub mod refused;
    pub mod results;
    pub mod resumed;
    pub mod support;
}
