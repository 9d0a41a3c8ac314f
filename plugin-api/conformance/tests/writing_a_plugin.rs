//! The plugin of `docs/writing-a-plugin.md`: compiled and tested here, and shown there word for word.

mod leave_one_out;

#[test]
fn the_page_shows_the_code_that_is_tested() {
    let (page, code) = (include_str!("../../../docs/writing-a-plugin.md"), include_str!("leave_one_out/mod.rs"));
    assert!(page.contains(&format!("```rust,ignore\n{code}```\n")), "copy tests/leave_one_out/mod.rs to the page");
}
