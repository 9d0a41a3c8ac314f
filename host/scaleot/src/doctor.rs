//! `doctor`: whether this machine has what is needed, one line a matter, each failure with its remedy.

use super::args::Global;
use super::failure::{ProgramError, stage};
use super::machine;
use super::output::Output;
use super::spin::{Wait, wait};
use scaleot_pipeline::report::size;
use scaleot_plugins::{PluginFault, Registry, SearchPath, Standing, Surveyed};
use scaleot_store::exit_code::ExitCode;
use scaleot_store::free_bytes;
use scaleot_tensor::{Device, TensorError, check_libtorch_version, libtorch_version};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Below this nothing but the smallest models runs.
const LEAST: u64 = 1 << 30;

/// The document of `--json`.
#[derive(Serialize)]
struct Findings {
    ok: bool,
    threads: Threads,
    checks: Vec<Line>,
}

#[derive(Serialize)]
struct Threads {
    processors: usize,
    /// Of one operation, where a config says nothing else.
    threads: usize,
    wait: Wait,
}

#[derive(Serialize)]
struct Line {
    what: &'static str,
    ok: bool,
    found: String,
    /// What to do, where it is not well.
    fix: Option<String>,
}

impl Line {
    fn ok(what: &'static str, found: String) -> Self {
        Self { what, ok: true, found, fix: None }
    }

    fn failed(what: &'static str, found: String, fix: &str) -> Self {
        Self { what, ok: false, found, fix: Some(fix.to_owned()) }
    }
}

/// Looks at everything, then says it.
pub fn doctor(backend: &Result<bool, TensorError>, global: &Global, output: Output) -> anyhow::Result<()> {
    let mut lines = vec![libtorch(), cuda(backend), device(global)];
    let threads = threads(global);
    lines.push(Line::ok("threads", threads.to_string()));
    lines.push(bytes("memory", machine::available_memory(), "close other programs, or take a larger machine"));
    lines.push(bytes("disk", free_bytes(Path::new(".")), "free some space in this folder's file system"));
    lines.extend(plugins(global));
    lines.push(model());
    lines.push(folder("tasks", ".assets/tasks", "make setup-model, or name your own in data.folder"));
    let findings = Findings { ok: lines.iter().all(|line| line.ok), threads, checks: lines };
    output.result(&findings, || findings.checks.iter().map(shown).collect::<Vec<_>>().join("\n"))?;
    if findings.ok { Ok(()) } else { Err(ProgramError::Said(ExitCode::Resources).into()) }
}

fn threads(global: &Global) -> Threads {
    let processors = machine::processors();
    let asked = global.threads.and_then(|threads| usize::try_from(threads).ok()).filter(|threads| *threads > 0);
    Threads { processors, threads: asked.unwrap_or(processors), wait: wait() }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} processors; {}", self.threads, self.processors, self.wait)
    }
}

fn shown(line: &Line) -> String {
    let (mark, fix) = match &line.fix {
        None => ("OK  ", String::new()),
        Some(fix) => ("FAIL", format!("; fix: {fix}")),
    };
    format!("{mark} {:<16} {}{fix}", line.what, line.found)
}

fn libtorch() -> Line {
    match check_libtorch_version() {
        Ok(()) => Line::ok("libtorch", libtorch_version()),
        Err(error) => Line::failed("libtorch", error.to_string(), "make setup"),
    }
}

fn cuda(backend: &Result<bool, TensorError>) -> Line {
    match backend {
        Ok(false) => Line::ok("CUDA", "libtorch for CPU only".to_owned()),
        Ok(true) => {
            let count = (0..64).take_while(|&index| Device::Cuda(index).check().is_ok()).count();
            Line::ok("CUDA", format!("libtorch for CUDA, {count} devices"))
        }
        Err(error) => Line::failed("CUDA", error.to_string(), "mend LD_LIBRARY_PATH"),
    }
}

fn device(global: &Global) -> Line {
    match super::session::device(global) {
        Ok(device) => Line::ok("device", device.to_string()),
        Err(error) => Line::failed("device", error.to_string(), "--device cpu"),
    }
}

fn bytes(what: &'static str, found: Option<u64>, fix: &str) -> Line {
    match found {
        Some(bytes) if bytes < LEAST => Line::failed(what, format!("{} free", size(bytes)), fix),
        Some(bytes) => Line::ok(what, format!("{} free", size(bytes))),
        None => Line::ok(what, "the system does not say".to_owned()),
    }
}

fn plugins(global: &Global) -> Vec<Line> {
    let search = SearchPath::new(global.plugin_path.iter().cloned());
    let path = search.describe();
    let mut registry = match stage(Registry::new(search)) {
        Ok(registry) => registry,
        Err(error) => return vec![Line::failed("plugins", error.to_string(), "rebuild the program")],
    };
    let mut names = BTreeSet::new();
    let mut refused = Vec::new();
    for Surveyed { standing, .. } in registry.survey() {
        match standing {
            Standing::Described(manifest, _) => drop(names.insert(manifest.name)),
            // What nothing pins is no fault of the machine.
            Standing::Loaded(_) | Standing::Hidden(_) | Standing::Refused(PluginFault::Unpinned { .. }) => {}
            Standing::Refused(fault) => refused.push(fault),
        }
    }
    names.extend(registry.plugins().map(|plugin| plugin.record.name.clone()));
    let names = Vec::from_iter(names);
    let found = format!("{} (searched: {path})", names.join(", "));
    let fix = "build the workspace with cargo build --release --workspace, or give --plugin-path";
    let mut lines =
        vec![if names.len() > 1 { Line::ok("plugins", found) } else { Line::failed("plugins", found, fix) }];
    let fix = "remove the file from the search path, or rebuild the plugin";
    lines.extend(refused.iter().map(|fault| Line::failed("plugin", fault.to_string(), fix)));
    lines
}

fn model() -> Line {
    let models = Path::new(".assets/models");
    let listing = std::fs::read_dir(models).into_iter().flatten();
    let found: Option<PathBuf> =
        listing.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.join("config.json").is_file());
    match found {
        Some(path) => Line::ok("model", path.display().to_string()),
        None => Line::failed(
            "model",
            "none in .assets/models".to_owned(),
            "make setup-model, or name your own in model.path",
        ),
    }
}

fn folder(what: &'static str, path: &str, fix: &str) -> Line {
    if Path::new(path).is_dir() {
        Line::ok(what, path.to_owned())
    } else {
        Line::failed(what, format!("no folder {path}"), fix)
    }
}
