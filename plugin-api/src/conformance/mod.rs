//! Tests of plugins without a host: [`FakeHost`], and what every strategy of a kind must keep to.

mod algebra;
mod array;
mod fake_host;
mod random;
mod toy_model;

pub use fake_host::FakeHost;
