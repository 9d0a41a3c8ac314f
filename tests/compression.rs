//! Selective rank compression through the program, by its definition: ranks, the energy of the error, and what is left alone.
//!
//! `||W - W_r||_F^2 = sum_{k>r} S_k^2`, with the singular values of the original from a library of its own.

use behaviour::bundle_file::{self, Tensors};
use behaviour::{finished_run, model::deepened, repository, scaleot, scratch, verb};
use nalgebra::DMatrix;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const ATTENTION: [&str; 4] = ["attention.q", "attention.k", "attention.v", "attention.o"];

fn matrix(tensors: &Tensors, name: &str) -> DMatrix<f64> {
    let (shape, bytes) = tensors.by_name.get(name).unwrap_or_else(|| panic!("no {name}"));
    let values = bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())));
    DMatrix::from_row_iterator(shape[0] as usize, shape[1] as usize, values)
}

/// The matrix that a compressed layer's file holds for a role, and whether it is in two factors.
fn compressed(layer: &Tensors, role: &str) -> (DMatrix<f64>, bool) {
    if layer.by_name.contains_key(&format!("{role}.weight")) {
        return (matrix(layer, &format!("{role}.weight")), false);
    }
    (matrix(layer, &format!("{role}.left")) * matrix(layer, &format!("{role}.right")), true)
}

/// The stages up to the bundle, with compression; the record of `compress --json`.
fn compress(folder: &Path, options: &[&str]) -> Value {
    let more: Vec<&str> = ["compress.use=scaleot/selective-rank", "--json"].iter().chain(options).copied().collect();
    for stage in ["importance", "replace"] {
        verb(stage, folder, &more).expect(0);
    }
    let record = verb("compress", folder, &more).expect(0).json();
    verb("bundle", folder, &more).expect(0);
    record
}

/// One compressed matrix against the original: rank, error, and what the artefact says of both.
#[track_caller]
fn check(original: &DMatrix<f64>, result: &DMatrix<f64>, report: &Value, rank: usize) {
    let (values, whole) = (original.singular_values(), original.norm_squared());
    let full_rank = original.nrows().min(original.ncols());
    assert_eq!(report["rank"], rank, "{report}");
    assert_eq!(report["full_rank"], full_rank, "{report}");
    let left = result.singular_values();
    let largest = left.max();
    assert_eq!(left.iter().filter(|&&value| value > 1e-5 * largest).count(), rank, "{report}: {left}");
    let dropped: f64 = values.iter().skip(rank).map(|value| value * value).sum();
    let error = (original - result).norm_squared();
    assert!((error - dropped).abs() < 1e-6 * whole, "{report}: ||W - W_r||^2 = {error}, dropped {dropped}");
    let reported = report["residual_energy"].as_f64().unwrap();
    assert!((reported - dropped / whole).abs() < 1e-6, "{report}: dropped {}", dropped / whole);
}

fn report<'r>(layer: &'r Value, role: &str) -> &'r Value {
    let matrices = layer["report"]["matrices"].as_array().unwrap();
    matrices.iter().find(|matrix| matrix["role"] == role).unwrap_or_else(|| panic!("no {role} in {layer}"))
}

#[test]
fn ranks_and_errors_are_those_of_the_truncated_decomposition() {
    let model = bundle_file::read(&repository().join("tests/fixtures/ci-model/model.safetensors"));
    // q and o are [64, 64], k and v [32, 64]; at 0.4 factors are smaller, at 0.8 they are not.
    for (ratio, ranks, factored) in [("0.4", [25, 12, 12, 25], true), ("0.8", [51, 25, 25, 51], false)] {
        let folder = scratch();
        let record = compress(folder.path(), &[&format!("compress.options.rank_ratio={ratio}")]);
        let layers = record["body"]["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2, "two of the four middle layers are kept");
        for layer in layers {
            let number = layer["layer"].as_u64().unwrap();
            assert!((2..6).contains(&number), "layers 0, 1, 6 and 7 are adapters");
            assert_eq!(layer["report"]["matrices"].as_array().unwrap().len(), 4);
            let file = bundle_file::read(&folder.path().join(format!("compress/layer-{number:03}.safetensors")));
            for (role, rank) in ATTENTION.into_iter().zip(ranks) {
                let letter = role.chars().last().unwrap();
                let original = matrix(&model, &format!("model.layers.{number}.self_attn.{letter}_proj.weight"));
                let (result, in_factors) = compressed(&file, role);
                assert_eq!(in_factors, factored, "{role} at {ratio}");
                check(&original, &result, report(layer, role), rank);
            }
        }
    }
}

#[test]
fn a_fused_projection_is_compressed_in_its_parts() {
    let folder = scratch();
    let model = folder.path().join("model");
    deepened("gpt2", 3, &model);
    let overrides = [
        format!("model.path={}", model.display()),
        "adapter.layers=2".into(),
        "replace.count=0".into(),
        "compress.options={ rank_ratio = 0.5, storage = \"dense\" }".into(),
    ];
    let run = folder.path().join("run");
    let record = compress(&run, &overrides.each_ref().map(String::as_str));
    let layer = &record["body"]["layers"][0];
    assert_eq!(layer["layer"], 1);
    let tensors = bundle_file::read(&model.join("model.safetensors"));
    // [in, 3 out]: q, k and v side by side, turned the other way round.
    let fused = matrix(&tensors, "transformer.h.1.attn.c_attn.weight").transpose();
    let file = bundle_file::read(&run.join("compress/layer-001.safetensors"));
    for (part, role) in ["attention.q", "attention.k", "attention.v"].into_iter().enumerate() {
        let original = fused.rows(32 * part, 32).into_owned();
        check(&original, &compressed(&file, role).0, report(layer, role), 16);
    }
    let output = matrix(&tensors, "transformer.h.1.attn.c_proj.weight").transpose();
    check(&output, &compressed(&file, "attention.o").0, report(layer, "attention.o"), 16);
}

fn bundle(run: &Path) -> Tensors {
    bundle_file::read(&run.join("bundle/emulator.safetensors"))
}

#[test]
fn feed_forward_norms_and_adapters_are_left_alone() {
    let folder = scratch();
    let options = ["compress.options={ rank_ratio = 0.3, storage = \"dense\" }"];
    compress(folder.path(), &options);
    let (whole, lossy) = (bundle(finished_run()), bundle(folder.path()));
    assert!(whole.by_name.keys().eq(lossy.by_name.keys()));
    let changed = |name: &&String| whole.by_name[*name] != lossy.by_name[*name];
    let changed: BTreeSet<String> = whole.by_name.keys().filter(changed).cloned().collect();
    // Six slots: two adapters, two kept layers, two adapters.
    let attention = |slot| ATTENTION.map(|role| format!("slots.{slot}.{role}.weight"));
    assert_eq!(changed, [2, 3].into_iter().flat_map(attention).collect());
}

#[test]
fn the_whole_rank_changes_nothing() {
    for storage in ["smaller", "dense", "factored"] {
        let folder = scratch();
        let options = format!("compress.options={{ rank_ratio = 1.0, modules = \"both\", storage = \"{storage}\" }}");
        let record = compress(folder.path(), &[&options]);
        for layer in record["body"]["layers"].as_array().unwrap() {
            let matrices = layer["report"]["matrices"].as_array().unwrap();
            assert_eq!(matrices.len(), 7);
            assert!(matrices.iter().all(|m| m["rank"] == m["full_rank"] && m["residual_energy"] == 0.0), "{layer}");
        }
        assert!(bundle(folder.path()).by_name == bundle(finished_run()).by_name, "{storage}");
    }
}

#[test]
fn compress_prints_what_each_module_lost() {
    let folder = scratch();
    let options = ["compress.use=scaleot/selective-rank", "compress.options={ rank_ratio = 0.8, modules = \"both\" }"];
    for stage in ["importance", "replace"] {
        verb(stage, folder.path(), &options).expect(0);
    }
    let shown = verb("compress", folder.path(), &options).expect(0).stdout;
    let row =
        |role: &str| shown.lines().find(|line| line.trim().starts_with(role)).unwrap_or_else(|| panic!("{shown}"));
    for role in ATTENTION.iter().chain(&["mlp.up", "mlp.gate", "mlp.down"]) {
        assert!(row(role).contains(" of ") && row(role).contains('%'), "{shown}");
    }
    assert!(row("attention.q").contains("51 of 64") && row("attention.k").contains("25 of 32"), "{shown}");
}

#[test]
fn compression_on_a_clock_is_the_stage_s_work() {
    let folder = scratch();
    let mut arguments = vec!["bench".to_owned(), "compress".to_owned(), behaviour::CONFIG.to_owned()];
    arguments.extend(behaviour::quick(folder.path()));
    arguments.extend(["compress.use=scaleot/selective-rank", "--json"].map(str::to_owned));
    let record = scaleot(arguments).expect(0).json();
    assert_eq!((record["matrices"].as_u64(), record["threads"].as_u64()), (Some(8), Some(1)));
    assert_eq!(record["layers"].as_array().map(Vec::len), Some(2));
    for key in ["seconds", "matrices_per_s", "peak_rss_mb"] {
        assert!(record[key].as_f64().unwrap() > 0.0, "{key}: {record}");
    }
    assert!(folder.path().join("compress/layer-002.safetensors").exists(), "the stage itself has run");
}
