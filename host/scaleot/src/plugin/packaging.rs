//! `plugin pack|add|remove`: from an author's folder to somebody else's search path.

use super::{Output, display_path};
use crate::args::{AddArgs, PackArgs, RemoveArgs};
use crate::failure::{ProgramError, VerbResult, stage};
use scaleot_plugins::{
    MANIFEST_FILE, PROJECT_FOLDER, PackageMetadata, add as install, pack as describe, remove as take_away, user_folder,
};
use scaleot_store::escape::escape;
use serde_json::json;
use std::path::PathBuf;

pub fn pack(args: &PackArgs, output: Output) -> VerbResult<()> {
    let metadata =
        PackageMetadata { publisher: args.publisher.clone(), licence: args.license.clone(), paper: args.paper.clone() };
    let manifest = stage(describe(&args.library, metadata))?;
    let place = args.library.with_file_name(MANIFEST_FILE);
    output.result(&json!({ "manifest": manifest, "path": display_path(&place) }), || {
        let (name, version) = (escape(&manifest.name), escape(&manifest.version));
        format!(
            "{name} {version} is described in {}\nhand over this file and {} together",
            place.display(),
            manifest.library
        )
    })
}

pub fn add(args: &AddArgs, output: Output) -> VerbResult<()> {
    let (manifest, place) = stage(install(&args.plugin, &root(args.user)?))?;
    let sha256 = manifest.files.get(&manifest.library);
    let value =
        json!({ "plugin": manifest.name, "version": manifest.version, "path": display_path(&place), "sha256": sha256 });
    output.result(&value, || {
        format!(
            "{} {} of {} is in {}\nnothing of it was loaded; `scaleot plugin lock CONFIG` lets the runs of a config load it",
            manifest.name,
            escape(&manifest.version),
            escape(&manifest.publisher),
            place.display()
        )
    })
}

pub fn remove(args: &RemoveArgs, output: Output) -> VerbResult<()> {
    let place = stage(take_away(&args.name, &root(args.user)?))?;
    output.result(&json!({ "plugin": args.name, "removed": display_path(&place) }), || {
        format!("{} is removed", place.display())
    })
}

/// The folder of the project, or that of the user.
fn root(user: bool) -> Result<PathBuf, ProgramError> {
    if !user {
        return Ok(PathBuf::from(PROJECT_FOLDER));
    }
    let nowhere = || ProgramError::Usage("--user: neither XDG_DATA_HOME nor HOME names a folder".to_owned());
    user_folder().ok_or_else(nowhere)
}
