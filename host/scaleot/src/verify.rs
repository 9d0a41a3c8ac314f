//! `verify`: a bundle or a return, checked to the last byte and the last value before anybody uses it.

use super::args::VerifyArgs;
use super::failure::VerbResult;
use super::output::{Output, display_path};
use scaleot_pipeline::artefacts::{ADAPTER, Emulator, EmulatorSlot, ReturnArtefact, TENSORS, TensorFile};
use scaleot_pipeline::delta;
use scaleot_pipeline::error::StageError;
use scaleot_pipeline::load::Placement;
use scaleot_pipeline::report::size;
use scaleot_pipeline::stage::Stage;
use scaleot_store::escape::escape;
use scaleot_store::{Manifest, StoreError, TensorEntry, VerifiedFolder, check_safetensors};
use scaleot_tensor::{Device, Dtype};
use serde_json::{Value, json};
use std::path::Path;

/// As the files are, whatever a config would compute in.
const ON_CPU: Placement = Placement { device: Device::Cpu, dtype: Dtype::F32 };

/// Says what the folder is, or refuses it.
pub fn verify(args: &VerifyArgs, output: Output) -> VerbResult<()> {
    let folder = &args.path;
    let (value, facts) = match Manifest::verify(folder, Stage::Bundle.head()) {
        Ok(verified) => bundle_facts(folder, &verified)?,
        Err(StoreError::Format { ref found, .. }) if found == Stage::Tune.head().format => {
            return_facts(folder, &Manifest::verify(folder, Stage::Tune.head())?, args.bundle.as_deref())?
        }
        Err(error) => return Err(error.into()),
    };
    output.result(&value, || facts.join("\n"))
}

fn bundle_facts(folder: &Path, verified: &VerifiedFolder) -> Result<(Value, Vec<String>), StageError> {
    // Opening checks what the manifest cannot: that tensors, slots, config and tokenizer fit together.
    let emulator = Emulator::open(folder, ON_CPU)?;
    let tensors = check_safetensors(&verified.file(TENSORS)?)?.tensors().to_vec();
    let count = |kind: fn(&EmulatorSlot) -> bool| emulator.description().slots.iter().filter(|slot| kind(slot)).count();
    let adapters: Vec<usize> = emulator.description().adapters().map(|(slot, _)| slot).collect();
    let modules = count(|slot| matches!(slot, EmulatorSlot::Module { .. }));
    let factored = count(|slot| matches!(slot, EmulatorSlot::Frozen { factored } if !factored.is_empty()));
    let config = &emulator.decoder().config;
    let mut facts = heading("a bundle: an emulator to tune on", folder, verified);
    facts.push(format!(
        "{} emulator of {} slots, hidden size {}, vocabulary {}",
        config.family.name,
        emulator.description().slots.len(),
        config.hidden,
        config.vocabulary
    ));
    facts.push(format!("trains in slots {adapters:?}; {modules} slots are modules, {factored} have factored weights"));
    facts.extend(listed(&tensors));
    let mut value = common(Stage::Bundle, folder, verified, &tensors);
    value["family"] = json!(config.family.name);
    value["slots"] = json!(emulator.description().slots);
    Ok((value, facts))
}

fn return_facts(
    folder: &Path,
    verified: &VerifiedFolder,
    answered: Option<&Path>,
) -> Result<(Value, Vec<String>), StageError> {
    let artefact: ReturnArtefact = verified.body()?;
    let path = verified.file(ADAPTER)?;
    // Reads every value: a return with one that is not finite is refused here.
    TensorFile::open(&path)?;
    let tensors = check_safetensors(&path)?.tensors().to_vec();
    let mut facts = heading("a return: what tuning changed, and nothing else", folder, verified);
    facts.push(format!("answers the bundle {}", artefact.bundle));
    let (steps, best) = (artefact.log.steps, artefact.log.best_step);
    facts.push(format!("{} values trained in {steps} steps, best at step {best}", artefact.trainable));
    let mut value = common(Stage::Tune, folder, verified, &tensors);
    value["answers"] = json!(artefact.bundle);
    value["trainable"] = json!(artefact.trainable);
    value["log"] = json!(artefact.log);
    if let Some(bundle) = answered {
        let emulator = Emulator::open(bundle, ON_CPU)?;
        let check = delta::verify(folder, &emulator, f64::INFINITY)?.check;
        facts.push(format!("fits the bundle; {check}"));
        value["check"] = json!(check);
    }
    facts.extend(listed(&tensors));
    Ok((value, facts))
}

fn heading(what: &str, folder: &Path, verified: &VerifiedFolder) -> Vec<String> {
    let manifest = verified.manifest();
    let mut lines = vec![format!("{} is {what}", folder.display()), format!("identity {}", manifest.identity())];
    lines.push(format!("made by {}, format version {}", escape(&manifest.created_by), manifest.format_version));
    let files =
        manifest.files.iter().map(|(name, file)| format!("  {name}: {}, sha256 {}", size(file.size), file.sha256));
    lines.extend(files);
    lines
}

fn common(stage: Stage, folder: &Path, verified: &VerifiedFolder, tensors: &[TensorEntry]) -> Value {
    let manifest = verified.manifest();
    let tensors: Vec<Value> = tensors
        .iter()
        .map(|tensor| json!({ "name": tensor.name, "dtype": tensor.dtype.name(), "shape": tensor.shape, "bytes": tensor.byte_len() }))
        .collect();
    json!({
        "what": stage.folder().name, "folder": display_path(folder), "identity": manifest.identity(), "created_by": manifest.created_by,
        "format": manifest.format, "format_version": manifest.format_version, "files": manifest.files,
        "tensors": tensors,
    })
}

fn listed(tensors: &[TensorEntry]) -> Vec<String> {
    let bytes: u64 = tensors.iter().map(TensorEntry::byte_len).sum();
    let mut lines = vec![format!("{} tensors, {}:", tensors.len(), size(bytes))];
    lines.extend(tensors.iter().map(|tensor| {
        format!("  {} {} {:?}, {}", tensor.name, tensor.dtype.name(), tensor.shape, size(tensor.byte_len()))
    }));
    lines
}
