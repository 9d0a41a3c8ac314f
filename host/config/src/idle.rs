//! Notices of keys that are set and change nothing, each with its reason: no key is ignored in silence.
//!
//! A key with its default value gets no notice: effective configs, such as those of a suite's cells, write every key.

use std::collections::BTreeMap;

use super::choices::Column;
use super::load;
use super::place::KeyPath;
use super::sections::RunConfig;
use super::show::leaves_of;

/// A part of the config that is not read, and why.
struct Idle {
    /// A key, or a section's with a dot at its end.
    keys: &'static str,
    why: &'static str,
}

/// The model owner's keys, as in [`Idle`]; `adapter.use`, its options and `adapter.layers` are held against the bundle instead.
const OWNERS_KEYS: [&str; 9] = [
    "model.path",
    "public_data.",
    "importance.",
    "replace.",
    "train.",
    "compress.",
    "adapter.placement",
    "bundle.",
    "plug_in.",
];

/// True of the key itself, or of any key of a section that is named with a dot at its end.
fn is_meant(keys: &str, key: &str) -> bool {
    key == keys || (keys.ends_with('.') && key.starts_with(keys))
}

impl RunConfig {
    /// One sentence a reason, with the keys that it concerns. `reads_public_text` says whether a strategy declares that it
    /// does; `context` is the model's, where one is known.
    pub fn notices(&self, reads_public_text: bool, context: Option<usize>) -> Vec<String> {
        let set = self.set_keys();
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Idle { keys, why } in self.idle(reads_public_text) {
            for key in set.iter().filter(|key| is_meant(keys, key)) {
                reasons.entry(why).or_default().push(key);
            }
        }
        let to_notice = |(why, keys): (&str, Vec<&str>)| {
            let effect = if keys.len() == 1 { "has no effect" } else { "have no effect" };
            format!("{} {effect}: {why}", keys.join(", "))
        };
        let idle = reasons.into_iter().map(to_notice);
        idle.chain(self.cut_blocks(&set, reads_public_text, context)).chain(self.long_warm_ups(&set)).collect()
    }

    /// A notice of the model owner's keys in a data owner's config: a bundle from elsewhere has their effect in it already.
    pub fn notice_of_owners_keys(&self) -> Option<String> {
        let of_the_owner = |key: &String| OWNERS_KEYS.iter().any(|keys| is_meant(keys, key));
        let keys: Vec<String> = self.set_keys().into_iter().filter(of_the_owner).collect();
        let effect = if keys.len() == 1 { "has" } else { "have" };
        (!keys.is_empty()).then(|| {
            format!("{} {effect} no effect: with --bundle the model owner's part is the bundle's", keys.join(", "))
        })
    }

    fn idle(&self, reads_public_text: bool) -> Vec<Idle> {
        let mut idle = Vec::new();
        let mut when = |holds: bool, why: &'static str, all: &[&'static str]| {
            if holds {
                idle.extend(all.iter().map(|keys| Idle { keys, why }));
            }
        };
        let public = !self.public_data.text.is_empty() && (reads_public_text || self.train.is_some());
        let full = self.evaluate.columns.contains(&Column::FullTuning);
        when(!full, "evaluate.columns does not name full_tuning", &["full_tuning."]);
        let nobody = "no strategy of this config says that it reads public text, and there is no [train]";
        when(!public && !self.public_data.text.is_empty(), nobody, &["public_data.text"]);
        let windows = ["importance.batch_size", "importance.held_out_batch_size"];
        when(!reads_public_text, "no strategy of this config says that it reads public text", &windows);
        let of_tasks = self.data.text.is_empty();
        let of_public_text = "data.text is empty, and windows of public text have public_data.block_length tokens";
        when(of_tasks, of_public_text, &["data.block_length"]);
        when(!public, "no public text is read", &["public_data.block_length"]);
        let whole = "data.text is used whole, but for its last twentieth, which is held out";
        when(!of_tasks, whole, &["data.train_limit", "data.validation_limit"]);
        let no_task = self.evaluate.tasks.is_empty();
        when(self.data.task.is_none() && no_task, "the config names no task", &["data.folder"]);
        when(no_task, "evaluate.tasks is empty", &["evaluate.split"]);
        when(self.evaluate.text.is_empty(), "evaluate.text is empty", &["evaluate.block_length"]);
        idle
    }

    /// Notices of windows that the context makes shorter than their key asks for.
    fn cut_blocks(&self, set: &[String], reads_public_text: bool, context: Option<usize>) -> Vec<String> {
        let Some(context) = context else { return Vec::new() };
        let reads_public_text = reads_public_text || self.train.is_some();
        let blocks = [
            ("data.block_length", self.data.block_length, !self.data.text.is_empty()),
            ("public_data.block_length", self.public_data.block_length, reads_public_text),
            ("evaluate.block_length", self.evaluate.block_length, !self.evaluate.text.is_empty()),
        ];
        let cut = |(key, length, read): &(&str, u32, bool)| {
            *read && *length as usize > context && set.iter().any(|one| one == key)
        };
        let to_notice = |(key, length, _)| {
            format!("{key} is {length}, and the model's context {context}: windows have {context} tokens")
        };
        blocks.into_iter().filter(cut).map(to_notice).collect()
    }

    fn long_warm_ups(&self, set: &[String]) -> Vec<String> {
        let full = self.evaluate.columns.contains(&Column::FullTuning);
        let of = |section: &super::TrainingSection| (section.steps.map_or(0, u64::from), section.warmup_steps);
        let trainings = [
            ("tune", of(&self.tune)),
            ("full_tuning", if full { of(&self.full_tuning) } else { (0, 0) }),
            ("train", self.train.as_ref().map_or((0, 0), of)),
        ];
        let never = |(section, (steps, warm_up)): (&str, (u64, u32))| {
            let odd = steps > 0 && u64::from(warm_up) >= steps && set.contains(&format!("{section}.warmup_steps"));
            odd.then(|| {
                format!(
                    "{section}.warmup_steps is {warm_up}, and {section}.steps {steps}: the learning rate never reaches its peak"
                )
            })
        };
        trainings.into_iter().filter_map(never).collect()
    }

    /// Keys that were written with another value than the default's.
    fn set_keys(&self) -> Vec<String> {
        let (Ok(own), Ok(defaults)) = (self.leaves(), load::defaults()) else { return Vec::new() };
        let defaults = leaves_of(&toml::Value::Table(defaults));
        let differs = |(key, value): &(KeyPath, String)| {
            self.places.is_set(key) && defaults.get(key).is_none_or(|default| default != value)
        };
        own.into_iter().filter(differs).map(|(key, _)| key.to_string()).collect()
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
