//! 66 to 69 and 72: answers that cannot be right. They are checked like file input, before a stage writes anything.

use super::cases::{Case, told};
use behaviour::{misbehaving_plugin, scratch, verb};

/// A strategy of the test's plugin, and the section that uses it.
#[derive(Clone, Copy)]
struct Used {
    section: &'static str,
    strategy: &'static str,
}

fn fault(name: &'static str, code: i32, of: Used, fault: &str, at: &str) -> Case {
    let Used { section, strategy } = of;
    let used = format!("{section}.use=test-misbehaving/{strategy}");
    let options = format!("{section}.options={{ fault = \"{fault}\", at = \"{at}\" }}");
    Case::new(name, code, if section == "importance" { "importance" } else { "run" }, &[&used, &options])
}

/// A strategy that answers these bytes.
fn raw(name: &'static str, code: i32, of: Used, call: &str, answer: &str) -> Case {
    let Used { section, strategy } = of;
    let used = format!("{section}.use=test-misbehaving/raw-{strategy}");
    let options = format!("{section}.options={{ {call} = '{answer}' }}");
    Case::new(name, code, if section == "importance" { "importance" } else { "run" }, &[&used, &options])
}

#[test]
fn scores_are_one_finite_number_a_layer() {
    let of = Used { section: "importance", strategy: "estimator" };
    let said = told(&[
        fault("66 too few scores", 4, of, "too-few", ""),
        fault("66 too many scores", 4, of, "too-many", ""),
        fault("66 a score that is no number", 6, of, "nan", ""),
        fault("66 all scores equal", 0, of, "equal", ""),
        fault("66 a curve that is no number", 6, of, "curve", ""),
        raw("66 scores that are no list", 4, of, "estimate", "{\"scores\": 3}"),
        raw("66 null for a score", 4, of, "estimate", "{\"scores\": [1,2,3,null,5,6,7,8]}"),
        raw("66 a score beyond fp32", 4, of, "estimate", "{\"scores\": [1e999,2,3,4,5,6,7,8]}"),
        raw("66 no JSON", 4, of, "estimate", "{\"scores\": ["),
        raw("66 nothing", 4, of, "estimate", ""),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn substitutes_and_plans_fit_the_model() {
    let of = Used { section: "replace", strategy: "replacer" };
    let linear = "{\"module\": {\"kind\": \"linear\", \"weight\": 12345}, \"trainable\": false}";
    let unknown = "{\"module\": {\"kind\": \"wormhole\"}, \"trainable\": false}";
    let said = told(&[
        fault("66 a substitute with NaN", 4, of, "nan", ""),
        fault("66 a substitute of another width", 4, of, "wide", ""),
        fault("66 a vector for a matrix", 4, of, "vector", ""),
        fault("66 a shared layer that does not exist", 4, of, "shares-nothing", ""),
        fault("66 a handle that nobody gave out", 4, of, "unknown-handle", ""),
        raw("66 a handle of another strategy", 4, of, "substitute", linear),
        raw("66 an unknown module", 4, of, "substitute", unknown),
        fault("66 a plan that is too short", 4, of, "short", "select"),
        fault("66 a plan that replaces everything", 4, of, "all", "select"),
        fault("66 a plan that replaces an adapter layer", 4, of, "adapter", "select"),
        fault("66 an objective that is no number", 4, of, "nan", "objective"),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn compressed_weights_and_adapters_fit_their_layers() {
    let compressor = Used { section: "compress", strategy: "compressor" };
    let adapter = Used { section: "adapter", strategy: "adapter" };
    let twice = "{\"changed\": [], \"report\": {\"matrices\": [{\"role\": \"attention.q\", \"rank\": 1}]}}";
    let said = told(&[
        fault("67 rank 0", 4, compressor, "rank-0", ""),
        fault("67 a rank above the matrix's", 4, compressor, "rank-above", ""),
        fault("67 factors of another shape", 4, compressor, "wrong-product", ""),
        fault("67 factors that do not meet", 4, compressor, "no-inner", ""),
        fault("67 a weight of another shape", 4, compressor, "wrong-shape", ""),
        fault("67 a weight with NaN", 4, compressor, "nan", ""),
        fault("67 a wrong share of energy", 4, compressor, "energy", ""),
        fault("67 a change that is not reported", 4, compressor, "unreported", ""),
        raw("67 a report that is cut", 4, compressor, "compress", twice),
        fault("67 an adapter without parts", 4, adapter, "empty", "attach"),
        fault("67 an adapter of rank 0", 4, adapter, "rank-0", "attach"),
        fault("67 an adapter on a norm", 4, adapter, "no-matrix", "attach"),
        fault("67 an adapter scaled by NaN", 4, adapter, "alpha", "attach"),
        fault("67 a loss that is no number", 6, adapter, "nan", "step"),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn errors_are_told_shortened_and_escaped() {
    let of = Used { section: "importance", strategy: "estimator" };
    let said = told(&[
        fault("69 an error", 4, of, "error", ""),
        fault("69 an error that drives terminals", 4, of, "escapes", ""),
        raw("69 an error that is no error", 4, of, "error", "no JSON either"),
        raw("69 an error of an unknown code", 4, of, "error", "{\"code\": \"glum\", \"message\": \"?\"}"),
    ]);
    insta::assert_snapshot!(said);
    let long = told(&[fault("69 an error of ten megabytes", 4, of, "long-error", "")]);
    assert!(long.len() < 6000 && long.contains("bytes in all"), "{} bytes: {long}", long.len());
}

#[test]
fn what_a_plugin_prints_does_not_get_into_the_results() {
    let folder = scratch();
    let library = misbehaving_plugin().display().to_string();
    for isolation in ["process", "none"] {
        let isolation = format!("plugins.isolation={isolation}");
        let more =
            ["importance.use=test-misbehaving/estimator", "importance.options={ fault = \"prints\" }", &isolation];
        let run = folder.path().join(&isolation);
        let outcome = verb("importance", &run, &[&more[..], &["--json", "--plugin-path", &library]].concat()).expect(0);
        assert_eq!(outcome.json()["format"], "scaleot-importance");
        assert!(outcome.stderr.contains("{\"noise\": 1}"), "{}", outcome.stderr);
    }
}
