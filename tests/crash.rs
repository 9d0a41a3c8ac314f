//! CRaSh through the program: shared places cost no weights, and run what stays even while it trains.

use behaviour::{bundle_file, scratch, verb};
use serde_json::Value;
use std::path::Path;

const CRASH: [&str; 3] =
    ["importance.use=crash/layer-similarity", "replace.use=crash/share", "adapter.placement=spread_kept"];

fn bundled(folder: &Path, options: &[&str]) -> (u64, Value) {
    for stage in ["importance", "replace", "bundle"] {
        verb(stage, folder, options).expect(0);
    }
    let tensors = bundle_file::read(&folder.join("bundle/emulator.safetensors"));
    let bytes = tensors.by_name.values().map(|(_, bytes)| bytes.len() as u64).sum();
    let text = std::fs::read_to_string(folder.join("bundle/emulator.json")).unwrap();
    (bytes, serde_json::from_str(&text).unwrap())
}

fn plan(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("replace/plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&text).unwrap();
    plan["layers"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_owned()).collect()
}

#[test]
fn shared_places_cost_no_weights() {
    let (shared, dropped) = (scratch(), scratch());
    let (bytes, description) = bundled(shared.path(), &CRASH);
    let without = [&CRASH[..], &["replace.options={ sharing = false }"]].concat();
    let (bytes_without, description_without) = bundled(dropped.path(), &without);
    assert_eq!(bytes, bytes_without, "a shared place has no tensor");
    let roles = plan(shared.path());
    assert_eq!(roles, plan(dropped.path()));
    let slots = |description: &Value| description["slots"].as_array().unwrap().clone();
    assert_eq!((slots(&description).len(), slots(&description_without).len()), (8, 6));
    let staying: Vec<usize> = (0..8).filter(|&layer| roles[layer] != "replace").collect();
    for (layer, slot) in slots(&description).iter().enumerate().filter(|(layer, _)| roles[*layer] == "replace") {
        let nearest = staying.iter().min_by_key(|&&other| (other.abs_diff(layer), 8 - other)).unwrap();
        assert!(slot.to_string().contains(&format!("\"layer\":{nearest}")), "layer {layer}: {slot}");
    }
}

#[test]
fn trainable_layers_are_spread_over_those_that_stay() {
    let folder = scratch();
    bundled(folder.path(), &CRASH);
    let roles = plan(folder.path());
    let staying: Vec<usize> = (0..8).filter(|&layer| roles[layer] != "replace").collect();
    let trained: Vec<usize> = (0..8).filter(|&layer| roles[layer] == "adapter").collect();
    // Of six: floor(6 i / 3), at most 5.
    assert_eq!(trained, [staying[0], staying[2], staying[4], staying[5]]);
}
