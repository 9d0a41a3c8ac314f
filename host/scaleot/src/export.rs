//! `export`: the adapted model, or the emulator, as a Hugging Face folder that Transformers opens; or low-rank deltas or soft
//! prompts alone as a folder that `peft` opens.

use super::args::{ExportArgs, ExportWhat, Global};
use super::failure::{ProgramError, VerbResult, stage};
use super::needs;
use super::output::{Output, display_path};
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
use scaleot_store::{NewFolder, lies_inside, make_folder};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Writes the folder: whole, or not at all.
pub fn export(args: &ExportArgs, global: &Global, output: Output) -> VerbResult<()> {
    let mut session = Session::open_to_read(session::load(&args.run, global)?, global, needs::EXPORT)?;
    check_target(&args.to, &session.run.config.model.path)?;
    let Subject { decoder, folder, companions } = subject(&mut session, args.what)?;
    make_folder(args.to.parent().unwrap_or(&args.to))?;
    let unfinished = NewFolder::begin(&args.to)?;
    let keys = match args.what {
        ExportWhat::Emulator => ConfigKeys::Described,
        ExportWhat::PlugIn | ExportWhat::Peft => ConfigKeys::Owners,
    };
    let written = match args.what {
        // The adapter alone; the model that it belongs to stays where it is.
        ExportWhat::Peft => stage(write_peft_folder(&decoder, unfinished.path(), &folder.display().to_string()))?,
        ExportWhat::PlugIn | ExportWhat::Emulator => {
            let written = stage(write_hf_folder(&decoder, unfinished.path(), keys, None))?;
            companions.iter().try_for_each(|name| unfinished.copy(name, &folder.join(name)))?;
            written
        }
    };
    unfinished.commit()?;
    let bytes = written.iter().map(|file| file.size).sum();
    let value = json!({ "folder": display_path(&args.to), "bytes": bytes, "layers": decoder.slots.len() });
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
