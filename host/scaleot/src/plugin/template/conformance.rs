//! Every promise of ScaleOT's plugin contract, tried on a host made of plain Rust: no model, no libtorch.

#[test]
fn conforms() {
    scaleot_plugin_conformance::check_plugin(my_plugin::scaleot_root_module());
}
