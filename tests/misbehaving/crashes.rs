//! 64 and 65: what ends a call, or would end the program. The fence catches panics, the watcher the rest.

use super::cases::{Case, told};

const ESTIMATOR: &str = "importance.use=test-misbehaving/estimator";
const REPLACER: &str = "replace.use=test-misbehaving/replacer";
const COMPRESSOR: &str = "compress.use=test-misbehaving/compressor";
const ADAPTER: &str = "adapter.use=test-misbehaving/adapter";

fn of(section: &str, fault: &str, at: &str) -> String {
    format!("{section}.options={{ fault = \"{fault}\", at = \"{at}\" }}")
}

#[test]
fn a_panic_in_any_call_is_an_error_of_the_plugin() {
    let case = |name, code, verb, used: &str, section: &str, at: &str| {
        Case::new(name, code, verb, &[used, &of(section, "panic", at)])
    };
    let said = told(&[
        case("64 at creation", 4, "importance", ESTIMATOR, "importance", "create"),
        case("64 in estimate", 4, "importance", ESTIMATOR, "importance", "estimate"),
        case("64 in drop", 0, "importance", ESTIMATOR, "importance", "drop"),
        case("64 in substitute", 4, "importance", REPLACER, "replace", "substitute"),
        case("64 in prepare", 4, "importance", REPLACER, "replace", "prepare"),
        case("64 in objective", 4, "importance", REPLACER, "replace", "objective"),
        case("64 in select", 4, "run", REPLACER, "replace", "select"),
        case("64 in compress", 4, "run", COMPRESSOR, "compress", "compress"),
        case("64 in attach", 4, "run", ADAPTER, "adapter", "attach"),
        case("64 in step", 4, "run", ADAPTER, "adapter", "step"),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn what_no_fence_catches_ends_in_a_sentence() {
    let limit = "plugins.call_timeout_s=2";
    let case = |name, fault: &str, more: &[&str]| {
        let options = of("importance", fault, "estimate");
        Case::new(name, 4, "importance", &[&[ESTIMATOR, &options], more].concat())
    };
    let in_call = |name, verb, used: &str, section: &str, fault: &str, at: &str| {
        // Only a loop needs the limit: `exit` runs destructors first, which take their time on a busy machine.
        let more: &[&str] = if fault == "loop" { &[limit] } else { &[] };
        Case::new(name, 4, verb, &[&[used, &of(section, fault, at)], more].concat())
    };
    let said = told(&[
        case("65 segfault", "segfault", &[]),
        case("65 stack overflow", "overflow", &[]),
        case("65 abort", "abort", &[]),
        case("65 exit(0)", "exit", &[]),
        case("65 exit(0), for a program that reads", "exit", &["--quiet"]),
        case("65 endless loop", "loop", &[limit]),
        case("65 more memory than there is", "allocate", &[]),
        in_call("65 segfault at creation", "importance", ESTIMATOR, "importance", "segfault", "create"),
        in_call("65 segfault in drop", "importance", ESTIMATOR, "importance", "segfault", "drop"),
        in_call("65 loop in substitute", "importance", REPLACER, "replace", "loop", "substitute"),
        in_call("65 segfault in select", "run", REPLACER, "replace", "segfault", "select"),
        in_call("65 abort in compress", "run", COMPRESSOR, "compress", "abort", "compress"),
        in_call("65 exit in attach", "run", ADAPTER, "adapter", "exit", "attach"),
        in_call("65 loop in step", "run", ADAPTER, "adapter", "loop", "step"),
    ]);
    insta::assert_snapshot!(said);
}
