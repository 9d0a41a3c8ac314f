//! Suites: methods x grids x tasks x seeds, each cell a run of its own, with shared stages, a table and statistics.
//!
//! `file` reads the suite, `cells` makes a run config of every cell, `engine` runs them as child processes, `finished` reads what
//! one left, `gather` puts all together with `statistics` and `frontier`, `table`, `csv` and `report` show it. [`SuiteResult`] holds all.

#![warn(unreachable_pub)]

mod file;
mod cells;
mod engine;
mod finished;
mod gather;
mod statistics;
mod frontier;
mod choose;
mod result;
mod table;
mod csv;
mod report;
mod error;

pub use self::csv::csv_figures;
pub use cells::{Cell, Layout, PointKey};
pub use choose::{Bounds, Choice, choose};
pub use engine::{Engine, Event, Outcome};
pub use error::SuiteError;
pub use file::Suite;
pub use gather::gather;
pub use report::html_report;
pub use result::SuiteResult;
pub use table::{View, markdown, terminal};
