//! `export`: the adapted model, or the emulator, as a Hugging Face folder that Transformers opens; or low-rank deltas or soft
//! prompts alone as a folder that `peft` opens.

use super::args::{ExportArgs, ExportWhat, Global};
use super::failure::{ProgramError, stage};
use super::needs;
use super::output::{Output, shown_path};
use super::session::{self, Session};
use scaleot_model::{ConfigKeys, Decoder, write_hf_folder, write_peft_folder};
use scaleot_pipeline::artefacts::{CONFIG, DESCRIPTION, Emulator, TENSORS};
use scaleot_pipeline::delta::VerifiedReturn;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::load::companions;
use scaleot_pipeline::report::size;
use scaleot_pipeline::run::OwnerRun;
use scaleot_pipeline::stage::Stage;
use scaleot_plugin_api::AdapterPart;
use scaleot_store::exit_code::ExitCode;
use scaleot_store::{StoreError, lies_inside};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Writes the folder: whole, or not at all.
pub fn export(args: &ExportArgs, global: &Global, output: Output) -> anyhow::Result<()> {
    let mut session = Session::open_to_read(session::load(&args.run, global)?, global, needs::EXPORT)?;
    check_target(&args.to, &session.run.config.model.path)?;
    let Subject { decoder, folder, companions } = subject(&mut session, args.what)?;
    let unfinished = unfinished(&args.to);
    let written = match args.what {
        ExportWhat::Peft => write_peft(&decoder, &folder, &unfinished),
        ExportWhat::PlugIn => write(&decoder, ConfigKeys::Owners, &unfinished, &folder, &companions),
        ExportWhat::Emulator => write(&decoder, ConfigKeys::Described, &unfinished, &folder, &companions),
    };
    if written.is_err() {
        // Best effort: the error says what matters.
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    let bytes = written?;
    std::fs::rename(&unfinished, &args.to).map_err(|error| resources(&args.to, &error))?;
    let value = json!({ "folder": shown_path(&args.to), "bytes": bytes, "layers": decoder.slots.len() });
    output.result(&value, || format!("{}: {} layers, {}", args.to.display(), decoder.slots.len(), size(bytes)))
}

/// The decoder to write.
struct Subject {
    decoder: Decoder,
    /// The folder of its small files.
    folder: PathBuf,
    /// Those that go along.
    companions: Vec<String>,
}

fn subject(session: &mut Session, what: ExportWhat) -> Result<Subject, StageError> {
    let run = &mut session.run;
    if matches!(what, ExportWhat::Emulator) {
        let bundle = run.require(Stage::Bundle)?;
        let decoder = Emulator::open(bundle.path(), run.placement())?.decoder().clone();
        // The bundle's own small files, and no other of the owner's: an emulator is what may leave.
        let own = [CONFIG, DESCRIPTION, TENSORS];
        let names = bundle.manifest().files.keys().filter(|name| !own.contains(&name.as_str()));
        return Ok(Subject { decoder, companions: names.cloned().collect(), folder: bundle.path().to_path_buf() });
    }
    let returned = run.require(Stage::Tune)?.path().to_path_buf();
    let (decoder, verified) = OwnerRun::new(run).plugged(&returned)?;
    if matches!(what, ExportWhat::Peft) {
        one_kind_for_peft(&returned, &verified)?;
    }
    let folder = run.config.model.path.clone();
    Ok(Subject { decoder, companions: companions(&folder)?, folder })
}

/// Refuses a return of which the layout of `peft` would hold only a part: it has one kind of part, and knows two kinds.
fn one_kind_for_peft(returned: &Path, verified: &VerifiedReturn) -> Result<(), StageError> {
    let parts =
        || verified.adapters.iter().flat_map(|(slot, adapter)| adapter.parts.iter().map(move |part| (slot, part)));
    let first = parts().next().map(|(_, part)| std::mem::discriminant(part));
    let held = |part: &AdapterPart| {
        matches!(part, AdapterPart::LowRankDelta { .. } | AdapterPart::SoftPrompt { .. })
            && first == Some(std::mem::discriminant(part))
    };
    match parts().find(|(_, part)| !held(part)) {
        None => Ok(()),
        Some((slot, part)) => Err(StageError::InvalidArtefact {
            path: returned.display().to_string(),
            what: format!("adapter of slot {slot}"),
            found: part.to_string(),
            expected: "low-rank deltas alone, such as peft/lora trains, or soft prompts alone; \
                       export --what plug-in writes whole layers and biases"
                .into(),
        }),
    }
}

fn check_target(to: &Path, model: &Path) -> Result<(), ProgramError> {
    if std::fs::symlink_metadata(to).is_ok() {
        let what = format!("{}: exists already; export writes a new folder", to.display());
        return Err(ProgramError::Found(what, ExitCode::Resources));
    }
    if lies_inside(to, model) {
        return Err(ProgramError::Usage(format!("{}: lies inside the model folder {}", to.display(), model.display())));
    }
    Ok(())
}

/// A name beside the target, on the same file system.
fn unfinished(to: &Path) -> PathBuf {
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    to.with_file_name(format!(".tmp-{name}-{}", std::process::id()))
}

fn write(
    decoder: &Decoder,
    keys: ConfigKeys,
    folder: &Path,
    from: &Path,
    companions: &[String],
) -> anyhow::Result<u64> {
    std::fs::create_dir_all(folder).map_err(|error| resources(folder, &error))?;
    let written = stage(write_hf_folder(decoder, folder, keys, None))?;
    for name in companions {
        copy(&from.join(name), &folder.join(name))?;
    }
    Ok(written.iter().map(|file| file.size).sum())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent).map_err(|error| resources(parent, &error))?;
    let mut source = std::fs::File::open(from).map_err(|source| StoreError::read(from, source))?;
    let mut file = scaleot_store::AtomicFile::create(to)?;
    std::io::copy(&mut source, &mut file).map_err(|source| file.write_fault(source))?;
    file.commit()?;
    Ok(())
}

/// The adapter alone; the model that it belongs to stays where it is.
fn write_peft(decoder: &Decoder, model: &Path, folder: &Path) -> anyhow::Result<u64> {
    std::fs::create_dir_all(folder).map_err(|error| resources(folder, &error))?;
    let written = stage(write_peft_folder(decoder, folder, &model.display().to_string()))?;
    Ok(written.iter().map(|file| file.size).sum())
}

fn resources(path: &Path, error: &std::io::Error) -> ProgramError {
    ProgramError::Found(format!("{}: {error}", path.display()), ExitCode::Resources)
}
