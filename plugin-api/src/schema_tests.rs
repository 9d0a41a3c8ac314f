//! Bounds of derived schemas, in every place where `schemars` puts them.

use super::*;
use serde_json::json;

#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
struct Options {
    #[schemars(range(min = 1, max = 64))]
    rank: u32,
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    share: f64,
    #[schemars(range(min = 2))]
    size: Option<u32>,
    single: f32,
    free: i64,
    #[schemars(inner(range(max = 9)))]
    rates: Vec<f64>,
    inner: Option<Inner>,
    by_name: std::collections::BTreeMap<String, Inner>,
    schedule: Schedule,
    tagged: Tagged,
}

#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
struct Inner {
    #[schemars(range(min = -1.5), extend("exclusiveMaximum" = 2))]
    shift: f64,
}

/// `"none"`, `{ "every": 3 }` or `{ "at": { "step": 3 } }`.
#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
#[serde(rename_all = "snake_case")]
enum Schedule {
    None,
    Every(#[schemars(range(min = 1))] u32),
    At {
        #[schemars(range(min = 5))]
        step: u32,
    },
}

/// Both variants have a field of one name, with bounds of their own.
#[derive(schemars::JsonSchema)]
#[allow(dead_code)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Tagged {
    Low {
        #[schemars(range(max = 1))]
        by: u32,
    },
    High {
        #[schemars(range(min = 10))]
        by: u32,
    },
}

fn check(options: Value) -> Result<(), String> {
    let schema = schemars::schema_for!(Options).to_value();
    check_numbers(&schema, &options).map_err(|error| {
        assert_eq!(error.code, crate::error::ErrorCode::Options);
        error.message
    })
}

#[test]
fn numbers_at_their_bounds_are_taken() {
    for options in [
        json!({}),
        json!({ "rank": 1, "share": 1, "size": 2, "single": -3e38, "free": i64::MIN }),
        json!({ "rank": 64, "share": 5e-324, "size": null, "inner": null, "free": u64::MAX }),
        json!({ "rates": [9, -1e300], "inner": { "shift": -1.5 }, "by_name": { "a": { "shift": 1.999 } } }),
        json!({ "schedule": "none", "tagged": { "kind": "low", "by": 1 } }),
        json!({ "schedule": { "every": 1 }, "tagged": { "kind": "high", "by": 10 } }),
        json!({ "schedule": { "at": { "step": 5 } } }),
        // Types and names are for serde to refuse.
        json!({ "rank": "many", "rates": 99, "inner": [99], "schedule": 0, "tagged": { "kind": "other", "by": 5 }, "other": 99 }),
    ] {
        assert_eq!(check(options.clone()), Ok(()), "{options}");
    }
}

#[test]
fn numbers_beyond_their_bounds_are_refused_by_name() {
    for (options, message) in [
        (json!({ "rank": 0 }), "rank is 0, expected a whole number from 1 to 64"),
        (json!({ "rank": -1 }), "rank is -1, expected a whole number from 1 to 64"),
        (json!({ "rank": u64::MAX }), "rank is 18446744073709551615, expected a whole number from 1 to 64"),
        (json!({ "share": 0.0 }), "share is 0.0, expected a number above 0.0 and at most 1.0"),
        (json!({ "share": 1.000_000_1 }), "share is 1.0000001, expected a number above 0.0 and at most 1.0"),
        (json!({ "size": 1 }), "size is 1, expected a whole number of at least 2"),
        (json!({ "single": 1e39 }), "single is 1e+39, expected a number"),
        (json!({ "rates": [1, 9.5] }), "rates[1] is 9.5, expected a number of at most 9"),
        (json!({ "inner": { "shift": 2 } }), "inner.shift is 2, expected a number from -1.5 to below 2"),
        (
            json!({ "by_name": { "a": { "shift": 0 }, "b": { "shift": -2 } } }),
            "by_name.b.shift is -2, expected a number from -1.5 to below 2",
        ),
        (json!({ "schedule": { "every": 0 } }), "schedule.every is 0, expected a whole number of at least 1"),
        (
            json!({ "schedule": { "at": { "step": 4 } } }),
            "schedule.at.step is 4, expected a whole number of at least 5",
        ),
        (json!({ "tagged": { "kind": "low", "by": 10 } }), "tagged.by is 10, expected a whole number from 0 to 1"),
        (json!({ "tagged": { "kind": "high", "by": 1 } }), "tagged.by is 1, expected a whole number of at least 10"),
    ] {
        assert_eq!(check(options).unwrap_err(), message);
    }
}

#[test]
fn a_number_may_choose_among_alternatives() {
    let schema = json!({ "properties": { "a": { "anyOf": [
        { "type": "integer", "maximum": 0 }, { "type": "string" }, { "type": "integer", "minimum": 8, "multipleOf": 2 }
    ] } } });
    let check = |number: i64| check_numbers(&schema, &json!({ "a": number })).map_err(|error| error.message);
    assert_eq!((check(0), check(10)), (Ok(()), Ok(())));
    let refused = Err("a is 9, expected a whole number of at most 0".to_owned());
    assert_eq!(check(9), refused, "no string, and odd");
}

#[test]
fn references_that_lead_nowhere_end() {
    let root =
        json!({ "a": { "$ref": "#/b" }, "b": { "$ref": "#/a" }, "c": { "$ref": "#/d" }, "d": { "type": "null" } });
    let follow = |key: &str| referenced(&root, &root[key]).clone();
    assert_eq!((follow("a"), follow("c")), (json!(false), json!({ "type": "null" })));
    assert_eq!(referenced(&root, &json!({ "$ref": "#/e" })), &json!(false));
}
