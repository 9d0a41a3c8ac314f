//! `plugin new`: a crate of an author's own, outside the workspace, that builds, passes the conformance suite and loads.
//!
//! The templates are the files in `template/`; `my-plugin` and `my_plugin` in them become the new name.

use super::{Output, display_path};
use crate::args::{KindArg, NewArgs};
use crate::failure::{ProgramError, VerbResult, stage};
use scaleot_plugin_api::{PLUGIN_NAME_RULE, StrategyKind, is_plugin_name};
use scaleot_plugins::SearchPath;
use scaleot_store::escape::escape;
use scaleot_store::write_folder;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The contract's crate in the source tree that this program was built from.
const OWN_API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-api");
/// Names that a crate cannot have beside its dependencies, or in Rust at all.
const TAKEN: &str = "abstract alloc as async await become box break const continue core crate do dyn else enum extern false \
                     final fn for gen if impl in let loop macro match mod move mut override priv proc-macro pub \
                     ref return scaleot schemars self serde static std struct super test trait true try type typeof unsafe \
                     unsized use virtual where while yield";

pub fn new(args: &NewArgs, output: Output) -> VerbResult<()> {
    let name = args.name.as_str();
    if !is_plugin_name(name) {
        let problem = format!("the name {:?}: expected {PLUGIN_NAME_RULE}", escape(name));
        return Err(ProgramError::Usage(problem).into());
    }
    if TAKEN.split_whitespace().any(|taken| taken == name) {
        return Err(ProgramError::Usage(format!(
            "the name {name:?} means something to Rust or ScaleOT; choose another"
        ))
        .into());
    }
    let Contract { api, conformance } = contract(args.api.as_deref())?;
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(name));
    let filled = |text: &str| {
        let text = text.replace("my-plugin", name).replace("my_plugin", &name.replace('-', "_"));
        let text = text.replace("STRATEGY", args.kind.strategy()).replace("KIND", args.kind.section());
        text.replace("PLUGIN_API", &api).replace("PLUGIN_CONFORMANCE", &conformance).into_bytes()
    };
    // `parent` of a bare name is the empty path: the working folder.
    if let Some(parent) = folder.parent().filter(|parent| *parent != Path::new("") && !parent.is_dir()) {
        let (folder, parent) = (folder.display(), parent.display());
        return Err(
            ProgramError::Usage(format!("{folder}: {parent} is no folder; make it, or choose another --path")).into()
        );
    }
    let files = [
        ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
        ("README.md", include_str!("template/README.md")),
        (".gitignore", include_str!("template/gitignore.txt")),
        ("src/lib.rs", args.kind.code()),
        ("tests/conformance.rs", include_str!("template/conformance.rs")),
    ];
    let files = files.map(|(file, text)| (file.to_owned(), filled(text)));
    stage(write_folder(&folder, &files))?;
    let value = json!({ "plugin": name, "kind": args.kind.section(), "path": display_path(&folder), "files": files.map(|(file, _)| file) });
    output.result(&value, || {
        let library = folder.join("target/debug").join(SearchPath::file_name(name));
        format!(
            "{name}, a plugin for [{}], is in {}\nnext:\n  cd {}\n  cargo test\n  cargo build\n  \
             scaleot plugin check {name} --plugin-path {}",
            args.kind.section(),
            folder.display(),
            folder.display(),
            library.strip_prefix(&folder).unwrap_or(&library).display()
        )
    })
}

impl KindArg {
    fn section(self) -> &'static str {
        let kind = match self {
            Self::Importance => StrategyKind::Importance,
            Self::Replace => StrategyKind::Replace,
            Self::Compress => StrategyKind::Compress,
            Self::Adapter => StrategyKind::Adapter,
        };
        kind.as_str()
    }

    /// The strategy in the template.
    fn strategy(self) -> &'static str {
        match self {
            Self::Importance => "probe",
            Self::Replace => "bottleneck",
            Self::Compress => "low-rank",
            Self::Adapter => "low-rank-delta",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Importance => include_str!("template/importance.rs"),
            Self::Replace => include_str!("template/replace.rs"),
            Self::Compress => include_str!("template/compress.rs"),
            Self::Adapter => include_str!("template/adapter.rs"),
        }
    }
}

/// The contract's two crates as dependencies of the new one: the text inside the braces.
struct Contract {
    api: String,
    conformance: String,
}

impl Contract {
    /// Both from one repository, or one registry.
    fn of_one_source(source: String) -> Self {
        Self { api: source.clone(), conformance: source }
    }
}

fn contract(asked: Option<&str>) -> Result<Contract, ProgramError> {
    let Some(api) = asked else {
        return match crate_folder(Path::new(OWN_API)) {
            Some(folder) => of_folder(&folder),
            None => Err(ProgramError::Usage(
                "the source tree that this program was built from is not here any more, and plugin-api is on no registry: \
                 give --api PATH (a checkout of ScaleOT) or --api GIT-URL"
                    .to_owned(),
            )),
        };
    };
    if is_git(api) {
        let (url, revision) = api.split_once('#').unwrap_or((api, ""));
        let revision = if revision.is_empty() { String::new() } else { format!(", rev = {revision:?}") };
        return Ok(Contract::of_one_source(format!("git = {url:?}{revision}")));
    }
    if is_version(api) {
        return Ok(Contract::of_one_source(format!("version = {api:?}")));
    }
    let (itself, inside) = (PathBuf::from(api), Path::new(api).join("plugin-api"));
    match [itself, inside].iter().find_map(|path| crate_folder(path)) {
        Some(folder) => of_folder(&folder),
        None => Err(ProgramError::Usage(format!(
            "--api {}: no crate scaleot-plugin-api there; expected a checkout of ScaleOT, its folder plugin-api, or a git URL",
            escape(api)
        ))),
    }
}

fn is_git(api: &str) -> bool {
    let url = api.split_once('#').map_or(api, |(url, _)| url);
    ["https://", "http://", "ssh://", "git://", "file://"].iter().any(|scheme| url.starts_with(scheme))
}

/// True for the version of a published contract, such as `2.0` or `2.0.0`.
fn is_version(api: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (2..=3).contains(&api.split('.').count()) && api.split('.').all(number)
}

/// The folder, made absolute, if the crate plugin-api is in it.
fn crate_folder(path: &Path) -> Option<PathBuf> {
    let folder = path.canonicalize().ok()?;
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml::Table = toml::from_str(&text).ok()?;
    let name = manifest.get("package")?.get("name")?.as_str()?;
    (name == "scaleot-plugin-api").then_some(folder)
}

fn of_folder(folder: &Path) -> Result<Contract, ProgramError> {
    let path = |folder: &Path| Some(format!("path = {}", toml::Value::from(folder.to_str()?)));
    match (path(folder), path(&folder.join("conformance"))) {
        (Some(api), Some(conformance)) => Ok(Contract { api, conformance }),
        _ => Err(ProgramError::Usage(format!(
            "{}: the path of plugin-api is not UTF-8, which Cargo.toml is; give --api by a link with another name, or a git URL",
            folder.display()
        ))),
    }
}
