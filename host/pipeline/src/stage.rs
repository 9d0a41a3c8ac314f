//! The stages of offsite-tuning in one table: names, sides, folders, formats and what each needs.
//!
//! Every name of a stage in this program comes from here. Folders, labels and formats are what earlier runs have on disk.

use scaleot_config::{Column, RunConfig};
use scaleot_plugin_api::StrategyKind;
use scaleot_store::ManifestHead;

/// A stage of offsite-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Scores of the layers, and substitutes for them.
    Importance,
    /// The choice of the layers that give way.
    Replace,
    /// The owner's training of the emulator; only where the config has a [train].
    Train,
    /// Compression of the kept layers; only with a `[compress]` section.
    Compress,
    /// The emulator as a bundle, and the owner's ledger of it.
    Bundle,
    /// The data owner's tuning of the adapters.
    Tune,
    /// The return in the full model.
    PlugIn,
    /// Tuning of the whole model, the upper bound of the table; only where a column asks for it.
    FullTuning,
    /// One column of the result table.
    Evaluate(Column),
}

/// The party that can run a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Has the model.
    ModelOwner,
    /// Has the private data, and of the model a bundle alone.
    DataOwner,
    /// Either party: an emulator is all that it takes.
    Either,
}

/// A folder that a stage writes into the run folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageFolder {
    /// Its name.
    pub name: &'static str,
    /// The format of its manifest.
    pub head: ManifestHead,
}

/// A row of the table.
struct Row {
    label: &'static str,
    verb: &'static str,
    side: Side,
    artefact: &'static str,
    folder: StageFolder,
    record: Option<StageFolder>,
    needs: &'static [Stage],
    strategies: &'static [StrategyKind],
}

const fn folder(name: &'static str, format: &'static str, version: u32) -> StageFolder {
    StageFolder { name, head: ManifestHead { format, version } }
}

/// The row of an owner's stage whose label, verb and folder are one word, and which needs nothing.
const fn row(name: &'static str, format: &'static str, artefact: &'static str) -> Row {
    Row {
        label: name,
        verb: name,
        side: Side::ModelOwner,
        artefact,
        folder: folder(name, format, 1),
        record: None,
        needs: &[],
        strategies: &[],
    }
}

/// The row of a column.
const fn column(name: &'static str, side: Side, needs: &'static [Stage]) -> Row {
    Row { verb: "evaluate", side, needs, ..row(name, "scaleot-evaluation", "figures of this column") }
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 13] = [
        Self::Importance,
        Self::Replace,
        Self::Train,
        Self::Compress,
        Self::Bundle,
        Self::Tune,
        Self::PlugIn,
        Self::FullTuning,
        Self::Evaluate(Column::ZeroShot),
        Self::Evaluate(Column::Emulator),
        Self::Evaluate(Column::EmulatorTuned),
        Self::Evaluate(Column::PlugIn),
        Self::Evaluate(Column::FullTuning),
    ];

    const fn row(self) -> Row {
        use Column::{Emulator, EmulatorTuned, ZeroShot};
        match self {
            Self::Importance => Row {
                strategies: &[StrategyKind::Importance, StrategyKind::Replace],
                ..row("importance", "scaleot-importance", "importance scores")
            },
            Self::Replace => Row {
                needs: &[Self::Importance],
                strategies: &[StrategyKind::Replace],
                ..row("replace", "scaleot-plan", "layer plan")
            },
            Self::Train => Row {
                needs: &[Self::Importance, Self::Replace],
                strategies: &[StrategyKind::Replace],
                ..row("train", "scaleot-train", "trained emulator of this layer plan")
            },
            Self::Compress => Row {
                needs: &[Self::Replace, Self::Train],
                strategies: &[StrategyKind::Compress],
                ..row("compress", "scaleot-compression", "compressed weights")
            },
            Self::Bundle => Row {
                record: Some(folder("ledger", "scaleot-ledger", 1)),
                needs: &[Self::Importance, Self::Replace, Self::Train, Self::Compress],
                strategies: &[StrategyKind::Adapter],
                ..row("bundle", "scaleot-bundle", "bundle")
            },
            Self::Tune => Row {
                side: Side::DataOwner,
                folder: folder("return", "scaleot-return", 2),
                record: Some(folder("tuning", "scaleot-tuning", 1)),
                needs: &[Self::Bundle],
                strategies: &[StrategyKind::Adapter],
                ..row("tune", "scaleot-return", "return")
            },
            Self::PlugIn => Row {
                verb: "plug-in",
                needs: &[Self::Bundle, Self::Tune],
                ..row("plug_in", "scaleot-plugged", "adapted model")
            },
            Self::FullTuning => {
                Row { verb: "full-tuning", ..row("full_tuning", "scaleot-full-tuning", "fully tuned model") }
            }
            Self::Evaluate(ZeroShot) => column("evaluate-zero-shot", Side::ModelOwner, &[]),
            Self::Evaluate(Emulator) => column("evaluate-emulator", Side::Either, &[Self::Bundle]),
            Self::Evaluate(EmulatorTuned) => {
                column("evaluate-emulator-tuned", Side::Either, &[Self::Bundle, Self::Tune])
            }
            Self::Evaluate(Column::PlugIn) => column("evaluate-plug-in", Side::ModelOwner, &[Self::Bundle, Self::Tune]),
            Self::Evaluate(Column::FullTuning) => column("evaluate-full-tuning", Side::ModelOwner, &[Self::FullTuning]),
        }
    }

    /// The name in messages, in costs and in the digest of the inputs.
    pub const fn label(self) -> &'static str {
        self.row().label
    }

    /// The verb that runs it.
    pub const fn verb(self) -> &'static str {
        self.row().verb
    }

    /// The party that can run it.
    pub const fn side(self) -> Side {
        self.row().side
    }

    /// The words for its result.
    pub const fn artefact(self) -> &'static str {
        self.row().artefact
    }

    /// The folder of its result.
    pub const fn folder(self) -> StageFolder {
        self.row().folder
    }

    /// The format of its result.
    pub const fn head(self) -> ManifestHead {
        self.row().folder.head
    }

    /// The folder that states the inputs: that of the result, or where the result leaves the house, a record that stays.
    pub const fn record(self) -> StageFolder {
        match self.row() {
            Row { record: Some(record), .. } => record,
            Row { folder, .. } => folder,
        }
    }

    /// The stages whose results it takes, as far as a config has them.
    pub const fn needs(self) -> &'static [Self] {
        self.row().needs
    }

    /// The kinds of strategies that it uses.
    pub const fn strategies(self) -> &'static [StrategyKind] {
        self.row().strategies
    }

    /// True where a run of this config has the stage.
    pub fn is_part_of(self, config: &RunConfig) -> bool {
        match self {
            Self::Train => config.train.is_some(),
            Self::Compress => config.compress.is_some(),
            Self::FullTuning => config.evaluate.columns.contains(&Column::FullTuning),
            Self::Evaluate(column) => config.evaluate.columns.contains(&column),
            Self::Importance | Self::Replace | Self::Bundle | Self::Tune | Self::PlugIn => true,
        }
    }

    /// The stages of a run, in order; columns in the order of the config.
    pub fn of_run(config: &RunConfig) -> impl Iterator<Item = Self> {
        let stages = Self::ALL.into_iter().filter(|stage| !matches!(stage, Self::Evaluate(_)));
        let columns = config.evaluate.columns.iter().copied().map(Self::Evaluate);
        stages.filter(|stage| stage.is_part_of(config)).chain(columns)
    }

    /// The stages of a run before this one that it rests on, directly or not, in order.
    pub fn upstream(self, config: &RunConfig) -> Vec<Self> {
        let mut rests_on = self.needs().to_vec();
        for stage in Self::ALL.into_iter().rev() {
            if rests_on.contains(&stage) {
                rests_on.extend(stage.needs());
            }
        }
        Self::ALL.into_iter().filter(|stage| rests_on.contains(stage) && stage.is_part_of(config)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_stage_needs_only_earlier_ones() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            for needed in stage.needs() {
                assert!(Stage::ALL.iter().position(|other| other == needed).unwrap() < index, "{stage:?} {needed:?}");
            }
        }
    }

    #[test]
    fn no_two_stages_share_a_folder() {
        let folders =
            Stage::ALL.into_iter().flat_map(|stage| BTreeSet::from([stage.folder().name, stage.record().name]));
        let folders: Vec<&str> = folders.collect();
        assert_eq!(folders.iter().collect::<BTreeSet<_>>().len(), folders.len(), "{folders:?}");
    }

    #[test]
    fn a_column_is_in_its_folder() {
        for column in [Column::ZeroShot, Column::Emulator, Column::EmulatorTuned, Column::PlugIn, Column::FullTuning] {
            let expected = format!("evaluate-{}", column.key().replace('_', "-"));
            let stage = Stage::Evaluate(column);
            assert_eq!((stage.folder().name, stage.label(), stage.record().name), (&*expected, &*expected, &*expected));
        }
    }
}
