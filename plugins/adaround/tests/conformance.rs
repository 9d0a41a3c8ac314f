//! The promises of the contract, on a fake host that has this crate's libtorch; few steps, since the toy models are many.

use scaleot_plugin_conformance::Conformance;

#[test]
fn it_keeps_the_contract() {
    let few = serde_json::json!({ "steps": 3 });
    Conformance::of(adaround::scaleot_root_module()).with_options("learned-rounding", few).assert();
}
