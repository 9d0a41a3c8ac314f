//! Notices of keys without effect.

use super::super::load::tests::{SMALL, parse, small};

fn told(text: &str, overrides: &[&str], reads_public_text: bool) -> Vec<String> {
    parse(text, overrides).unwrap().notices(reads_public_text, Some(512))
}

#[test]
fn a_config_whose_keys_all_count_says_nothing() {
    assert_eq!(told(SMALL, &[], false), [""; 0]);
    let reads = ["public_data.text=[\"a.txt\"]", "public_data.block_length=128", "importance.batch_size=4"];
    assert_eq!(told(SMALL, &reads, true), [""; 0]);
    let trains = ["public_data.text=[\"a.txt\"]", "train.steps=5", "train.learning_rate=1e-4"];
    assert_eq!(told(SMALL, &trains, false), [""; 0]);
    // An effective config writes every key with its default.
    let effective = small(&[]).to_toml().unwrap();
    assert_eq!(told(&effective, &[], false), [""; 0]);
}

#[test]
fn a_key_without_effect_is_told_with_its_reason() {
    let overrides = [
        "full_tuning.steps=3",
        "public_data.text=[\"a.txt\"]",
        "data.block_length=64",
        "public_data.block_length=64",
        "importance.batch_size=4",
        "evaluate.block_length=64",
    ];
    assert_eq!(
        told(SMALL, &overrides, false),
        [
            "data.block_length has no effect: data.text is empty, and windows of public text have public_data.block_length tokens",
            "full_tuning.steps has no effect: evaluate.columns does not name full_tuning",
            "evaluate.block_length has no effect: evaluate.text is empty",
            "public_data.block_length has no effect: no public text is read",
            "importance.batch_size has no effect: no strategy of this config says that it reads public text",
            "public_data.text has no effect: no strategy of this config says that it reads public text, and there is no [train]",
        ]
    );
    let text = ["data.text=[\"a.txt\"]", "data.train_limit=10", "data.folder=elsewhere", "evaluate.split=train"];
    assert_eq!(
        told(SMALL, &text, false),
        [
            "data.train_limit has no effect: data.text is used whole, but for its last twentieth, which is held out",
            "evaluate.split has no effect: evaluate.tasks is empty",
            "data.folder has no effect: the config names no task",
        ]
    );
}

#[test]
fn windows_are_cut_to_the_context_and_a_warm_up_may_be_too_long() {
    let long = ["data.text=[\"a.txt\"]", "data.block_length=1024", "evaluate.text=[\"a.txt\"]"];
    assert_eq!(
        told(SMALL, &long, false),
        ["data.block_length is 1024, and the model's context 512: windows have 512 tokens"]
    );
    let warm = ["tune.steps=20", "tune.warmup_steps=20"];
    assert_eq!(
        told(SMALL, &warm, false),
        ["tune.warmup_steps is 20, and tune.steps 20: the learning rate never reaches its peak"]
    );
    assert_eq!(told(SMALL, &["tune.steps=20", "tune.warmup_steps=19"], false), [""; 0]);
}
