//! A table on a terminal: words stay whole. Where the columns have no room for that, heads are broken at their hyphens,
//! and where even that is too wide each row is a list of its own.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, Width};

/// A space on both sides of a column's content, and one between columns.
const FRAME: usize = 3;
/// Longer words are paths and digests, which may be broken anywhere.
const WHOLE: usize = 24;

/// The table as wide as its terminal; on a pipe, as wide as it likes.
pub fn fitted(table: &mut Table) -> String {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let Some(room) = table.width().map(usize::from) else { return table.to_string() };
    let heads = table.header().map(contents).unwrap_or_default();
    if least(table, &heads).iter().sum::<usize>() > room {
        let broken: Vec<String> = heads.iter().map(|head| head.replace('-', "-\n")).collect();
        if least(table, &broken).iter().sum::<usize>() > room {
            return listed(table, &heads);
        }
        table.set_header(broken);
    }
    let heads = table.header().map(contents).unwrap_or_default();
    for (column, width) in least(table, &heads).into_iter().enumerate() {
        let width = Width::Fixed(u16::try_from(width - FRAME + 2).unwrap_or(u16::MAX));
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::LowerBoundary(width));
        }
    }
    table.to_string()
}

fn contents(row: &Row) -> Vec<String> {
    row.cell_iter().map(Cell::content).collect()
}

/// Widths of the columns with their frames, so that no word is broken.
fn least(table: &Table, heads: &[String]) -> Vec<usize> {
    let longest = |text: &str| text.split_whitespace().map(|word| word.chars().count().min(WHOLE)).max().unwrap_or(0);
    let mut widths: Vec<usize> = heads.iter().map(|head| longest(head)).collect();
    for row in table.row_iter() {
        for (width, cell) in widths.iter_mut().zip(row.cell_iter()) {
            *width = longest(&cell.content()).max(*width);
        }
    }
    widths.into_iter().map(|width| width + FRAME).collect()
}

fn listed(table: &Table, heads: &[String]) -> String {
    let line = |(head, content): (&String, String)| match head.as_str() {
        "" => content,
        head => format!("{head}: {content}"),
    };
    let row = |row: &Row| heads.iter().zip(contents(row)).map(line).collect::<Vec<_>>().join("\n");
    table.row_iter().map(row).collect::<Vec<_>>().join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use comfy_table::presets;

    fn at(width: u16) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_width(width);
        table.set_header(["task", "metric", "zero-shot", "emulator", "emulator-tuned", "plug-in", "gap", "n"]);
        table.add_row(["arc_easy", "answer_loss", "2.727", "4.656", "4.621 ± 0.021", "2.689", "+1.932", "500"]);
        fitted(&mut table)
    }

    #[test]
    fn words_stay_whole_at_every_width() {
        insta::assert_snapshot!([100, 80, 20].map(at).join("\n\n"));
    }

    #[test]
    fn no_width_is_too_small() {
        for width in 0..30 {
            assert!(at(width).contains("task: arc_easy\nmetric: answer_loss\n"), "{width}");
        }
    }
}
