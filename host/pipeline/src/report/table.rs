//! The record of a run as a table: for a terminal, and as Markdown.

use super::fitted::fitted;
use super::gather::{Report, Row};
use crate::artefacts::Figure;
use crate::run::PluginUsed;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use scaleot_store::escape::escape;
use std::collections::BTreeSet;

/// The table and the lines under it, as wide as the terminal allows.
pub fn terminal(report: &Report) -> String {
    let mut table = filled(report);
    let table = fitted(table.load_preset(presets::UTF8_HORIZONTAL_ONLY));
    format!("{table}\n\n{}", facts(report).join("\n"))
}

/// The same as a Markdown page.
pub fn markdown(report: &Report) -> String {
    let mut table = filled(report);
    table.load_preset(presets::ASCII_MARKDOWN);
    let facts: String = facts(report).iter().map(|fact| format!("- {fact}\n")).collect();
    format!("# {}\n\n{table}\n\n{facts}", report.model)
}

fn filled(report: &Report) -> Table {
    let mut table = Table::new();
    let heads = report.columns.iter().map(|column| column.replace('_', "-"));
    table.set_header(
        ["task".to_owned(), "metric".to_owned()].into_iter().chain(heads).chain(["gap".into(), "n".into()]),
    );
    for row in &report.rows {
        table.add_row(cells(report, row));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(report: &Report, row: &Row) -> Vec<String> {
    let shown = |column: &String| row.figures.get(column).map_or_else(|| "-".to_owned(), figure);
    let samples = row.figures.values().map(|figure| figure.n).max().unwrap_or(0);
    let gap = row.gap.map_or_else(|| "-".to_owned(), |gap| format!("{gap:+.3}"));
    let mut cells = vec![row.task.clone(), row.metric.clone()];
    cells.extend(report.columns.iter().map(shown));
    cells.extend([gap, samples.to_string()]);
    cells
}

/// `0.523 ± 0.021`: mean and standard error.
fn figure(figure: &Figure) -> String {
    match figure.stderr {
        Some(stderr) => format!("{:.3} ± {stderr:.3}", figure.mean),
        None => format!("{:.3}", figure.mean),
    }
}

fn facts(report: &Report) -> Vec<String> {
    let strategies: Vec<String> = report.strategies.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    let mut facts = vec![format!("model {}; {}", report.model, strategies.join(", "))];
    facts.extend(plugins(report));
    if let Some(bytes) = report.bundle_bytes {
        facts.push(format!("bundle {}", size(bytes)));
    }
    if let Some(trainable) = report.trainable {
        let (steps, best) = report.tuning_steps.unwrap_or((0, 0));
        let trainable = HumanCount(trainable);
        facts.push(format!("{trainable} trainable values, {steps} steps, best at step {best}"));
    }
    let costs = &report.costs;
    let stages: Vec<String> = costs.0.iter().map(|(stage, cost)| format!("{stage} {:.1} s", cost.seconds)).collect();
    facts.push(format!("time {:.1} s ({})", costs.seconds(), stages.join(", ")));
    facts.push(format!("peak memory {} (mapped weights included)", size(costs.peak_bytes())));
    facts.push("values are mean ± standard error; answer_loss in nats per answer token, lower is better; gap = plug-in over emulator-tuned, positive is better".to_owned());
    facts
}

/// `plugins offsite-tuning 0.1.0 (sha256 3f2a9c…, beside the program), scaleot 0.1.0 (built in)`.
fn plugins(report: &Report) -> Option<String> {
    let shown = |used: &PluginUsed| match &used.sha256 {
        Some(sha256) => {
            let sha256 = sha256.get(..12).unwrap_or(sha256);
            format!("{} {} (sha256 {sha256}, {})", escape(&used.name), escape(&used.version), used.pinned)
        }
        None => format!("{} {} ({})", escape(&used.name), escape(&used.version), used.pinned),
    };
    let shown: BTreeSet<String> = report.plugins.values().map(shown).collect();
    (!shown.is_empty()).then(|| format!("plugins {}", Vec::from_iter(shown).join(", ")))
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
