//! Suites: methods x grids x tasks x seeds, each cell a run of its own, with shared stages, a table and statistics.
//!
//! `file` reads the suite, `cells` makes a run config of every cell, `engine` runs them as child processes, `finished` reads what
//! one left, `gather` puts all together with `statistics` and `frontier`, `table`, `csv` and `report` show it. [`SuiteResult`] holds all.

pub mod file;
pub mod cells;
pub mod engine;
pub mod finished;
pub mod gather;
pub mod statistics;
pub mod frontier;
pub mod choose;
pub mod result;
pub mod table;
pub mod csv;
pub mod report;
pub mod error;

pub use cells::{Cell, Layout, PointKey};
pub use choose::{Bounds, Choice, choose};
pub use engine::{Engine, Event, Outcome};
pub use error::SuiteError;
pub use file::Suite;
pub use gather::gather;
pub use result::SuiteResult;
