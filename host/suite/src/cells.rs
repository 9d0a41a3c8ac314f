//! From a suite to its cells: one run config for each method, combination of axis values, task and seed.
//!
//! Order of what sets a key, the later wins: the method's config, its `set`, the axes, the command line; then the suite's own:
//! `data.task` and `evaluate.tasks` are the task, `tune.seed` is the seed, `output` is the cell's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::SuiteError;
use super::file::{Method, Suite};
use scaleot_config::{ConfigError, KeyPath, Place, RunConfig};
use scaleot_data::TaskSet;
use scaleot_pipeline::error::StageError;
use scaleot_store::Digest;
use scaleot_store::escape::escape_to;

/// Keys that the suite sets itself.
const SET_HERE: [&str; 5] = ["output", "data.task", "data.text", "evaluate.tasks", "tune.seed"];
/// The expectation, for messages.
const OTHER: &str = "another key: the suite sets this one for each of its cells";
/// A longer folder name is cut and told apart by a digest.
const NAME_LIMIT: usize = 90;

/// A method with one combination of axis values: a row of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PointKey {
    /// The method's name.
    pub method: String,
    /// Axis key and value, in the order of the file.
    pub settings: Vec<(String, String)>,
}

impl PointKey {
    /// `uniform ratio=0.25`: the method and the last part of each axis key, all of it where two end alike.
    pub fn label(&self) -> String {
        fn last(key: &str) -> &str {
            key.rsplit('.').next().unwrap_or(key)
        }
        let setting = |(key, value): &(String, String)| {
            let alike = self.settings.iter().filter(|(other, _)| last(other) == last(key)).count() > 1;
            format!(" {}={value}", if alike { key.as_str() } else { last(key) })
        };
        self.method.clone() + &self.settings.iter().map(setting).collect::<String>()
    }
}

/// One run of the suite.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Name of its folder.
    pub name: String,
    /// Its row of the table.
    pub point: PointKey,
    pub task: String,
    pub seed: u64,
    /// Everything that the run needs to know.
    pub config: RunConfig,
}

/// The folders of a suite's output.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The suite's output.
    pub root: PathBuf,
    /// The stages that cells share, with other suites if it lies elsewhere.
    pub pool: PathBuf,
}

impl Layout {
    /// The run folder of a cell.
    pub fn run(&self, cell: &str) -> PathBuf {
        self.root.join("runs").join(cell)
    }

    /// The config of a cell, ready for `scaleot run`.
    pub fn config(&self, cell: &str) -> PathBuf {
        self.root.join("cells").join(format!("{cell}.toml"))
    }

    /// The file of a cell's messages.
    pub fn log(&self, cell: &str) -> PathBuf {
        self.root.join("logs").join(format!("{cell}.log"))
    }
}

/// An override with the key of the suite file that it came from; none for the command line's.
type Origin = (String, Option<KeyPath>);

/// An entry of a list in the suite file, with its place there.
struct Listed<'a, T: ?Sized> {
    index: usize,
    value: &'a T,
}

impl<T: ?Sized> Clone for Listed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Listed<'_, T> {}

impl Suite {
    /// The folders of its files.
    pub fn layout(&self) -> Layout {
        Layout { root: self.output.clone(), pool: self.pool.clone().unwrap_or_else(|| self.output.join("stages")) }
    }

    /// Every cell, seeds innermost, with its config loaded and checked.
    ///
    /// # Errors
    /// The first config that cannot be, by the suite's line that made it so.
    pub fn cells(&self) -> Result<Vec<Cell>, SuiteError> {
        let combinations = self.combinations()?;
        let mut cells = Vec::new();
        for (index, value) in self.method.iter().enumerate() {
            let method = Listed { index, value };
            for settings in &combinations {
                for (index, task) in self.tasks.iter().enumerate() {
                    let task = Listed { index, value: task.as_str() };
                    for seed in &self.seeds {
                        cells.push(self.cell(method, settings, task, *seed)?);
                    }
                }
            }
        }
        self.refuse_unknown_tasks(&cells)?;
        self.refuse_twins(&cells)?;
        Ok(cells)
    }

    /// The overrides of every combination of axis values; one empty combination without axes.
    fn combinations(&self) -> Result<Vec<Vec<Axis>>, SuiteError> {
        let mut combinations = vec![Vec::new()];
        for (key, values) in &self.axes {
            let at = KeyPath::of("axes").key(key);
            self.refuse_own(key, &at)?;
            let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
            let axis: Vec<Axis> = (values.iter().enumerate())
                .map(|(index, value)| Axis { key: key.clone(), value: value.to_string(), at: at.index(index) })
                .collect();
            let extend = |before: Vec<Axis>| {
                axis.iter().map(move |one| [before.clone(), vec![one.clone()]].concat()).collect::<Vec<_>>()
            };
            combinations = combinations.into_iter().flat_map(extend).collect();
        }
        Ok(combinations)
    }

    fn cell(
        &self,
        method: Listed<'_, Method>,
        settings: &[Axis],
        task: Listed<'_, str>,
        seed: u64,
    ) -> Result<Cell, SuiteError> {
        let Listed { index, value: method } = method;
        let Listed { index: task_index, value: task } = task;
        let at = KeyPath::of("method").index(index);
        let mut origins: Vec<Origin> = Vec::new();
        for (position, text) in method.set.iter().enumerate() {
            let key = at.key("set").index(position);
            self.refuse_own(text.split('=').next().unwrap_or_default().trim(), &key)?;
            origins.push((text.clone(), Some(key)));
        }
        origins.extend(settings.iter().map(|axis| (format!("{}={}", axis.key, axis.value), Some(axis.at.clone()))));
        for text in &self.overrides {
            let key = text.split('=').next().unwrap_or_default().trim();
            if SET_HERE.contains(&key) {
                let (place, key) = (Place::Override { text: escape_to(text, 120) }, KeyPath::of(key));
                return Err(SuiteError::Value { place, key, found: "it".to_owned(), expected: OTHER.to_owned() });
            }
            origins.push((text.clone(), None));
        }
        let point = PointKey {
            method: method.name.clone(),
            settings: settings.iter().map(|axis| (axis.key.clone(), axis.value.trim_matches('"').to_owned())).collect(),
        };
        let name = folder_name(&point, task, seed);
        origins.extend([
            (format!("data.task={}", toml::Value::from(task)), Some(KeyPath::of("tasks").index(task_index))),
            (format!("evaluate.tasks=[\"{task}\"]"), Some(KeyPath::of("tasks").index(task_index))),
            (format!("tune.seed={seed}"), Some(KeyPath::of("seeds"))),
            (
                format!("output={}", toml::Value::from(self.layout().run(&name).display().to_string())),
                Some(KeyPath::of("output")),
            ),
        ]);
        let overrides: Vec<String> = origins.iter().map(|(text, _)| text.clone()).collect();
        let config = RunConfig::load(&method.config, &overrides);
        let config = config.map_err(|problem| self.blame(problem, &origins, at.key("config")))?;
        Ok(Cell { name, point, task: task.to_owned(), seed, config })
    }

    /// The line of the suite that made a config wrong.
    fn blame(&self, problem: ConfigError, origins: &[Origin], method: KeyPath) -> SuiteError {
        let blamed = problem.blamed_override().map(str::to_owned);
        let origin = blamed.and_then(|text| origins.iter().rev().find(|(own, _)| escape_to(own, 120) == text));
        let key = match origin {
            None => method,
            Some((_, Some(key))) => key.clone(),
            // The command line's own words are in the message.
            Some((_, None)) => return SuiteError::File(problem),
        };
        SuiteError::Cell { place: self.places.of(&key), key, problem: Box::new(problem) }
    }

    fn refuse_own(&self, key: &str, at: &KeyPath) -> Result<(), SuiteError> {
        if !SET_HERE.contains(&key) {
            return Ok(());
        }
        Err(self.refusal(at.clone(), format!("`{key}`"), OTHER.to_owned()))
    }

    /// A task may be the user's own, from the folder of a cell's data.
    fn refuse_unknown_tasks(&self, cells: &[Cell]) -> Result<(), SuiteError> {
        let mut folders: BTreeMap<&Path, TaskSet> = BTreeMap::new();
        for cell in cells {
            let folder = cell.config.data.folder.as_path();
            if !folders.contains_key(folder) {
                folders.insert(folder, TaskSet::with_folder(folder).map_err(StageError::from)?);
            }
            if let Some(Err(error)) = folders.get(folder).map(|known| known.get(&cell.task)) {
                let index = self.tasks.iter().position(|task| *task == cell.task).unwrap_or(0);
                let key = KeyPath::of("tasks").index(index);
                return Err(self.refusal(key, format!("`{}`", cell.task), format!("a known task ({error})")));
            }
        }
        Ok(())
    }

    /// Two rows of one config would look like a finding.
    fn refuse_twins(&self, cells: &[Cell]) -> Result<(), SuiteError> {
        let mut seen: BTreeMap<Digest, &Cell> = BTreeMap::new();
        for cell in cells {
            let mut config = cell.config.clone();
            config.output = PathBuf::new();
            if let Some(first) = seen.insert(config.digest()?, cell) {
                let index = self.method.iter().position(|method| method.name == cell.point.method).unwrap_or(0);
                let place = self.places.of(&KeyPath::of("method").index(index).key("config"));
                return Err(SuiteError::Same { place, first: first.name.clone(), second: cell.name.clone() });
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Axis {
    key: String,
    value: String,
    at: KeyPath,
}

/// `uniform.ratio-0.25.arc_easy.seed-0`.
fn folder_name(point: &PointKey, task: &str, seed: u64) -> String {
    let whole = format!("{}.{task}.seed-{seed}", point.label());
    let plain: String = (whole.chars())
        .map(|c| match c {
            ' ' => '.',
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
            _ => '-',
        })
        .collect();
    // A label that lost nothing but its separators stays readable and is its own.
    let odd = whole.chars().any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.' | ' ' | '='));
    if plain.len() <= NAME_LIMIT && !odd {
        return plain;
    }
    let digest = Digest::of(format!("{point:?} {task} {seed}").as_bytes()).short();
    format!("{}.{digest}", plain.chars().take(NAME_LIMIT - 13).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_suite_has_cells_that_fit_the_model() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let mut sizes = std::collections::BTreeMap::new();
        for folder in ["ablation", "compare", "sweep"] {
            for entry in std::fs::read_dir(configs.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let cells = Suite::load(&path, &[]).unwrap().cells().unwrap();
                let fits = |cell: &Cell| cell.config.validate_against(30).unwrap().kept > 0;
                assert!(cells.iter().all(fits), "{}", path.display());
                sizes.insert(format!("{folder}/{}", path.file_stem().unwrap().display()), cells.len());
            }
        }
        let of = |suite: &str| sizes.get(suite).copied();
        assert_eq!((of("compare/rank"), of("sweep/rank-ratio")), (Some(12), Some(9)));
        assert_eq!((of("compare/scaleot"), of("ablation/rank-ratio")), (Some(24), Some(15)));
        assert!(sizes.len() >= 11, "{sizes:?}");
    }

    #[test]
    fn names_are_readable_and_one_of_a_kind() {
        let point = |settings: &[(&str, &str)]| PointKey {
            method: "uniform".into(),
            settings: settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        let name = |settings: &[(&str, &str)]| folder_name(&point(settings), "arc_easy", 3);
        assert_eq!(name(&[("replace.ratio", "0.25")]), "uniform.ratio-0.25.arc_easy.seed-3");
        // What a folder's name cannot hold, and what is too long, is told apart by a digest.
        let (list, long) = (name(&[("tune.betas", "[0.9, 0.99]")]), "x".repeat(200));
        assert!(scaleot_store::is_name_part(&list), "{list}");
        assert_ne!(list, name(&[("tune.betas", "[0.9,-0.99]")]));
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        assert_ne!(name(&[("a.b", &one)]), name(&[("a.b", &other)]));
        assert!(scaleot_store::is_name_part(&name(&[("a.b", &one)])));
        let two = point(&[("tune.learning_rate", "1e-3"), ("full_tuning.learning_rate", "1e-4")]);
        assert_eq!(two.label(), "uniform tune.learning_rate=1e-3 full_tuning.learning_rate=1e-4");
    }
}
