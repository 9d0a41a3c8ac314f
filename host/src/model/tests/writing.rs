//! A written folder read back is the same model, bit for bit.

use super::{FAMILIES, golden_model, load};
use crate::model::{ConfigKeys, Decoder, PackedBatch, Slot, write_hf_folder};
use plugin_api::Module;

fn logits(decoder: &Decoder, ids: &[i64]) -> Vec<u32> {
    let batch = PackedBatch::causal([ids]);
    let rows: Vec<usize> = (0..ids.len()).collect();
    let logits = decoder.logits(&batch, &rows).unwrap().to_vec_f32().unwrap();
    logits.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn whole_and_in_shards() {
    for family in FAMILIES.into_iter().chain(["llama-untied-sharded", "llama-biases-head-dim", "gpt2-bare-names"]) {
        let (model, ids) = golden_model(family);
        for (shard_bytes, keys) in [(None, ConfigKeys::Described), (Some(10_000), ConfigKeys::Owners)] {
            let folder = tempfile::tempdir().unwrap();
            write_hf_folder(&model.decoder, folder.path(), keys, shard_bytes).unwrap();
            assert_eq!(folder.path().join("model.safetensors.index.json").exists(), shard_bytes.is_some());
            let again = load(folder.path());
            for ((name, a), (again, b)) in
                model.decoder.named_tensors().unwrap().iter().zip(again.decoder.named_tensors().unwrap())
            {
                assert_eq!(*name, again);
                assert!(a.equal(&b).unwrap(), "{family}: {name}");
            }
            assert_eq!(logits(&model.decoder, &ids[0]), logits(&again.decoder, &ids[0]), "{family}");
        }
    }
}

#[test]
fn dropped_layers_are_numbered_anew() {
    let folder = super::tests_folder().join("fixtures/ci-model");
    let mut decoder = load(&folder).decoder;
    for slot in [2, 3, 6] {
        decoder.set(slot, Slot::Module(Module::Identity)).unwrap();
    }
    let ids = [50i64, 324, 70, 371, 275];
    let written = tempfile::tempdir().unwrap();
    write_hf_folder(&decoder, written.path(), ConfigKeys::Owners, None).unwrap();
    let again = load(written.path()).decoder;
    assert_eq!(again.slots.len(), 5);
    assert_eq!(logits(&decoder, &ids), logits(&again, &ids));
}

#[test]
fn modules_have_no_place_in_a_folder() {
    let (model, _) = golden_model("llama");
    let mut decoder = model.decoder;
    decoder.set(1, Slot::Module(Module::SharedWith { layer: 0 })).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = write_hf_folder(&decoder, folder.path(), ConfigKeys::Owners, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "layer 1: a module, expected a decoder layer or nothing: other modules have no place in a Transformers folder"
    );
}
