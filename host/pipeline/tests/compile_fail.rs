//! The line between the two parties as the compiler draws it: programs that cross it do not build.

#[test]
fn the_data_owner_has_no_model() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
