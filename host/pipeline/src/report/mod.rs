//! Side: both. Takes: the artefacts of a run. Gives: one page: utility, gap, disclosure, cost. Plugin kind: none.
//!
//! Rows are metrics of tasks, columns are the models; `gap` is plug-in minus emulator-tuned, with the sign turned for losses,
//! so that a positive gap always means that the plugged-in model is the better one.

mod chart;
mod fitted;
mod gather;
mod table;

pub use fitted::fitted;
pub use gather::{Report, Row, gather, higher_is_better};
pub use table::{markdown, size, terminal};

use crate::error::StageError;
use crate::run::RunCore;

/// Gathers the report of a run and writes `report.json`, `report.md` and `report.svg` into its folder.
///
/// # Errors
/// A damaged artefact, or a full disk.
pub fn write(run: &RunCore) -> Result<Report, StageError> {
    let report = gather(run)?;
    keep(run, &report)?;
    Ok(report)
}

/// Writes a report into its run's folder.
///
/// # Errors
/// A full disk.
pub fn keep(run: &RunCore, report: &Report) -> Result<(), StageError> {
    let mut json = run.dir.file("report.json")?;
    json.put(serde_json::to_string_pretty(report).unwrap_or_default().as_bytes())?;
    json.commit()?;
    let mut page = run.dir.file("report.md")?;
    page.put(markdown(report).as_bytes())?;
    page.commit()?;
    if let Some(picture) = chart::svg(report)? {
        let mut file = run.dir.file("report.svg")?;
        file.put(picture.as_bytes())?;
        file.commit()?;
    }
    Ok(())
}
