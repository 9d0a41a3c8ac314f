//! Tasks, texts and the tokens before them, through the built program: what is scored, what is tuned on, and what is refused.

#[path = "data/beginning.rs"]
mod beginning;
#[path = "data/own_task.rs"]
mod own_task;
#[path = "data/refused.rs"]
mod refused;

use behaviour::{Outcome, model::deepened, scaleot};
use std::fs;
use std::path::{Path, PathBuf};

/// A task file of the user's own, with questions for each split.
pub fn own_task(folder: &Path, name: &str, lines: &str) {
    let task = format!(
        "name = \"{name}\"\nversion = 1.0\nlicence = \"none\"\nchance = 0.5\nmetrics = [\"acc\", \"answer_loss\"]\n\
         files = \"{name}/{{split}}.jsonl\"\ntraining_split = \"train\"\nvalidation_split = \"validation\"\ntest_split = \"test\"\n\
         doc_to_text = \"{{{{context}}}}\"\ndoc_to_choice = \"choices\"\ndoc_to_target = \"gold\"\n"
    );
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(folder.join(format!("{name}.toml")), task).unwrap();
    for split in ["train", "validation", "test"] {
        fs::write(folder.join(name).join(format!("{split}.jsonl")), lines).unwrap();
    }
}

/// The golden LLaMA with four layers, one token for each ASCII character, and this `tokenizer_config.json`.
pub fn model(folder: &Path, config: &str) -> PathBuf {
    let model = folder.join("model");
    deepened("llama", 4, &model);
    fs::write(model.join("tokenizer_config.json"), config).unwrap();
    model
}

/// A run config on `model` that drops nothing and tunes for a step on the task `own` of `tasks`.
pub fn config(folder: &Path, model: &Path, tasks: &Path) -> PathBuf {
    let (output, model, tasks) = (folder.join("run"), model.display(), tasks.display());
    let text = format!(
        "version = 1\noutput = \"{}\"\n[model]\npath = \"{model}\"\n[runtime]\nthreads = 1\n\
         [data]\ntask = \"own\"\nfolder = \"{tasks}\"\n\
         [importance]\nuse = \"offsite-tuning/uniform\"\n\
         [replace]\nuse = \"offsite-tuning/layer-drop\"\ncount = 0\n\
         [adapter]\nuse = \"offsite-tuning/outer-layers\"\nlayers = 2\n\
         [tune]\nlearning_rate = 1e-5\nsteps = 1\nbatch_size = 2\naccumulation = 1\nevaluate_every = 1\n",
        output.display()
    );
    let file = folder.join("run.toml");
    fs::write(&file, text).unwrap();
    file
}

/// `evaluate --model`, as JSON.
#[track_caller]
pub fn evaluated(model: &Path, more: &[&str]) -> serde_json::Value {
    let model = model.display().to_string();
    let first = ["evaluate", "--json", "--threads", "1", "--model", &model];
    scaleot(first.into_iter().chain(more.iter().copied())).expect(0).json()
}

/// A verb on a config file, with more arguments.
pub fn on(verb: &[&str], config: &Path, more: &[&str]) -> Outcome {
    let config = config.display().to_string();
    scaleot(verb.iter().copied().chain([config.as_str()]).chain(more.iter().copied()))
}
