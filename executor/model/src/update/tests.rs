//! Tables of documents, updates and what comes of them, operator by operator. The results are MongoDB's.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{compare::equal, filter::Filter};

fn apply(document: &Value, update: Value) -> Result<Value, FieldError> {
    Update::parse(update)?.apply(document.as_object().unwrap().clone())
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn check(document: Value, update: Value, expected: Value) {
    let found = apply(&document, update.clone()).unwrap_or_else(|error| panic!("{update}: {error}"));
    assert_eq!(found, expected, "{update} on {document}");
}

/// Checks updates that are refused, be it when they are read or on this document.
#[track_caller]
fn refuse<const N: usize>(table: [(Value, &str, &str); N]) {
    let document = json!({
        "s": "text", "n": 1, "big": i64::MAX, "f": 1e308, "null": null, "o": {"x": 1}, "l": [1, [2], {"x": 3}],
    });
    for (update, field, message) in table {
        let error = apply(&document, update.clone()).expect_err(&update.to_string());
        assert_eq!(error.field(), field, "{update}: {error}");
        assert!(error.message().contains(message), "{update}: {error}");
    }
}

#[test]
fn a_body_without_operators_replaces() {
    check(json!({"a": 1}), json!({"b": {"$schema": 2}}), json!({"b": {"$schema": 2}}));
    check(json!({"a": 1}), json!({}), json!({}));
    check(json!({"a": 1}), json!([1]), json!([1]));
}

#[test]
fn set() {
    check(json!({"a": 1}), json!({"$set": {}}), json!({"a": 1}));
    check(
        json!({"a": 1, "b": {"c": 2, "d": 3}}),
        json!({"$set": {"b.c": 9, "e.f": 1}}),
        json!({"a": 1, "b": {"c": 9, "d": 3}, "e": {"f": 1}}),
    );
    check(json!({"a": [1, {"b": 2}]}), json!({"$set": {"a.0": 5, "a.1.b": 6}}), json!({"a": [5, {"b": 6}]}));
    check(json!({"a": [1]}), json!({"$set": {"a.3": 4}}), json!({"a": [1, null, null, 4]}));
    check(json!({"a": []}), json!({"$set": {"a.1.b": 4}}), json!({"a": [null, {"b": 4}]}));
    check(json!({}), json!({"$set": {"a.0": 1}}), json!({"a": {"0": 1}}));
    check(
        json!({"a": 1}),
        json!({"$set": {"a": {"$schema": "x", "b.c": 1}}}),
        json!({"a": {"$schema": "x", "b.c": 1}}),
    );
    check(json!({"a": null}), json!({"$set": {"a": 1}}), json!({"a": 1}));
}

#[test]
fn unset() {
    check(
        json!({"a": 1, "b": {"c": 2, "d": 3}}),
        json!({"$unset": {"b.c": "", "x.y": "", "a": 1}}),
        json!({"b": {"d": 3}}),
    );
    check(json!({"a": [1, 2]}), json!({"$unset": {"a.0": "", "a.7": "", "a.x": ""}}), json!({"a": [null, 2]}));
    check(json!({"a": "text"}), json!({"$unset": {"a.b": ""}}), json!({"a": "text"}));
}

#[test]
fn inc_and_mul() {
    check(json!({"a": 1}), json!({"$inc": {"a": 2, "b.c": -3}}), json!({"a": 3, "b": {"c": -3}}));
    check(json!({"a": 1, "b": 1.5}), json!({"$inc": {"a": 0.5, "b": 1}}), json!({"a": 1.5, "b": 2.5}));
    check(json!({"a": [1, 2]}), json!({"$inc": {"a.1": 5}}), json!({"a": [1, 7]}));
    check(json!({"a": 9_007_199_254_740_993_i64}), json!({"$inc": {"a": 2}}), json!({"a": 9_007_199_254_740_995_i64}));
    check(json!({"a": 3, "b": 2.5}), json!({"$mul": {"a": -2, "b": 2}}), json!({"a": -6, "b": 5.0}));
    check(json!({}), json!({"$mul": {"a": 7, "b": 7.5}}), json!({"a": 0, "b": 0.0}));
}

#[test]
fn min_and_max() {
    check(json!({"a": 5, "b": 5}), json!({"$min": {"a": 3, "b": 7}}), json!({"a": 3, "b": 5}));
    check(json!({"a": 5, "b": 5}), json!({"$max": {"a": 3, "b": 7.5}}), json!({"a": 5, "b": 7.5}));
    check(json!({}), json!({"$min": {"a": 3}, "$max": {"b": null}}), json!({"a": 3, "b": null}));
    check(json!({"a": "x", "b": "x"}), json!({"$min": {"a": 3}, "$max": {"b": 3}}), json!({"a": 3, "b": "x"}));
    check(json!({"a": null}), json!({"$min": {"a": 3}}), json!({"a": null}));
    check(json!({"a": 1}), json!({"$max": {"a": 1.0}}), json!({"a": 1}));
}

#[test]
fn rename() {
    check(
        json!({"a": 1, "b": {"c": 2}}),
        json!({"$rename": {"a": "x.y", "b.c": "d"}}),
        json!({"b": {}, "x": {"y": 1}, "d": 2}),
    );
    check(json!({"a": 1, "b": 2}), json!({"$rename": {"a": "b"}}), json!({"b": 1}));
    check(json!({"b": 2}), json!({"$rename": {"a": "b"}}), json!({"b": 2}));
    check(json!({"a": [1]}), json!({"$rename": {"a": "b"}}), json!({"b": [1]}));
}

#[test]
fn push_and_add_to_set() {
    check(json!({"a": [1]}), json!({"$push": {"a": 1, "b": 2}}), json!({"a": [1, 1], "b": [2]}));
    check(json!({"a": [1]}), json!({"$push": {"a": {"$each": [2, [3]]}}}), json!({"a": [1, 2, [3]]}));
    check(json!({"a": [1]}), json!({"$push": {"a": [2, 3]}}), json!({"a": [1, [2, 3]]}));
    check(json!({"a": [[1]]}), json!({"$push": {"a.0": {"b": 2}}}), json!({"a": [[1, {"b": 2}]]}));
    check(json!({}), json!({"$push": {"a": {"$each": []}}}), json!({"a": []}));
    check(json!({"a": [1]}), json!({"$addToSet": {"a": 1.0, "b": 2}}), json!({"a": [1], "b": [2]}));
    check(
        json!({"a": [1, 1]}),
        json!({"$addToSet": {"a": {"$each": [2, 1, 2, {"x": 1, "y": 2}]}}}),
        json!({"a": [1, 1, 2, {"x": 1, "y": 2}]}),
    );
    check(
        json!({"a": [{"x": 1, "y": 2}]}),
        json!({"$addToSet": {"a": {"y": 2, "x": 1}}}),
        json!({"a": [{"x": 1, "y": 2}]}),
    );
    check(json!({"a": [1]}), json!({"$addToSet": {"a": [1]}}), json!({"a": [1, [1]]}));
}

#[test]
fn pull() {
    check(json!({"a": [1, 2, 1.0, "1", [1]]}), json!({"$pull": {"a": 1}}), json!({"a": [2, "1", [1]]}));
    check(json!({"a": [1, 5, 9]}), json!({"$pull": {"a": {"$gte": 5}}}), json!({"a": [1]}));
    check(json!({"a": ["x", "y", "z"]}), json!({"$pull": {"a": {"$in": ["x", "z"]}}}), json!({"a": ["y"]}));
    check(json!({"a": ["net", "sec"]}), json!({"$pull": {"a": {"$regex": "^s"}}}), json!({"a": ["net"]}));
    check(
        json!({"a": [{"b": 1, "c": 1}, {"b": 1}, 1]}),
        json!({"$pull": {"a": {"b": 1, "c": {"$gt": 0}}}}),
        json!({"a": [{"b": 1}, 1]}),
    );
    check(
        json!({"a": [{"b": 1}, {"c": 2}, {}]}),
        json!({"$pull": {"a": {"$or": [{"b": 1}, {"c": 2}]}}}),
        json!({"a": [{}]}),
    );
    check(
        json!({"a": [{"b": [{"q": 1, "r": 4}]}, {"b": []}]}),
        json!({"$pull": {"a": {"b": {"$elemMatch": {"q": 1, "r": {"$gte": 3}}}}}}),
        json!({"a": [{"b": []}]}),
    );
    check(json!({"a": [[1, 2], [3]]}), json!({"$pull": {"a": [1, 2]}}), json!({"a": [[3]]}));
    check(json!({"a": [null, 1]}), json!({"$pull": {"a": null, "b.c": 1}}), json!({"a": [1]}));
}

#[test]
fn operators_together() {
    check(
        json!({"a": [5], "n": 1, "old": true}),
        json!({"$set": {"a.1": 6, "x": 1}, "$inc": {"n": 1}, "$unset": {"old": ""}, "$push": {"tags": "t"}}),
        json!({"a": [5, 6], "n": 2, "x": 1, "tags": ["t"]}),
    );
    // In the order of positions, whatever the order of operators.
    check(
        json!({"a": []}),
        json!({"$set": {"a.10": 1}, "$inc": {"a.0": 1, "a.2": 2}}),
        json!({"a": [1, null, 2, null, null, null, null, null, null, null, 1]}),
    );
}

#[test]
fn refuses_updates_that_are_malformed() {
    refuse([
        (json!({"$foo": {"a": 1}}), "$foo", "unknown operator `$foo`: there are $set, $unset, $inc"),
        (json!({"$sett": {"a": 1}}), "$sett", "did you mean `$set`?"),
        (json!({"$pop": {"l": 1}}), "$pop", "unknown operator `$pop`"),
        (json!({"$set": {"a": 1}, "b": 2}), "b", "`b` is a field beside operators"),
        (json!({"$set": 1}), "$set", "must be an object of dotted paths, not a number"),
        (json!({"$inc": ["a"]}), "$inc", "must be an object of dotted paths, not a list"),
        (json!({"$set": {"a..b": 1}}), "a..b", "a part of it is empty"),
        (json!({"$set": {"": 1}}), "", "a part of it is empty"),
        (json!({"$set": {"_id": 1}}), "_id", "cannot be changed"),
        (json!({"$unset": {"_id.x": 1}}), "_id.x", "cannot be changed"),
        (json!({"$set": {"l.$": 1}}), "l.$", "has the part `$`: name a position by its number"),
        (json!({"$set": {"l.$[].x": 1}}), "l.$[].x", "has the part `$[]`"),
        (json!({"$set": {"l.$[e].x": 1}}), "l.$[e].x", "has the part `$[e]`"),
        (json!({"$set": {"$a": 1}}), "$a", "has the part `$a`"),
        (json!({"$inc": {"n": "1"}}), "n", "`$inc` takes a number, not a string"),
        (json!({"$mul": {"n": null}}), "n", "`$mul` takes a number, not null"),
        (json!({"$rename": {"n": 1}}), "n", "`$rename` takes the new path, a string, not a number"),
        (json!({"$rename": {"n": "a..b"}}), "n", "`$rename`: `a..b` is not a dotted path"),
        (json!({"$rename": {"n": "_id"}}), "n", "`$rename`: `_id` cannot be changed"),
        (json!({"$push": {"l": {"$each": 1}}}), "l", "`$push`: `$each` takes a list, not a number"),
        (json!({"$push": {"l": {"$each": [1], "x": 1}}}), "l", "`$push` takes `$each` alone"),
        (json!({"$push": {"l": {"$each": [1], "$slice": 1}}}), "l", "`$push` with `$slice` is not available"),
        (json!({"$push": {"l": {"$each": [1], "$sort": 1}}}), "l", "`$push` with `$sort` is not available"),
        (json!({"$push": {"l": {"$position": 0}}}), "l", "`$push` with `$position` is not available"),
        (json!({"$pull": {"l": {"$foo": 1}}}), "l", "`$pull`: unknown operator `$foo`"),
        (json!({"$pull": {"l": {"x": {"$in": 1}}}}), "l", "`$pull`: `x.$in`: must be a list"),
    ]);
}

#[test]
fn refuses_paths_that_are_in_each_others_way() {
    let both = "is changed twice: by `a` and by `a.b`";
    refuse([
        (json!({"$set": {"a": 1, "a.b": 2}}), "a.b", both),
        (json!({"$set": {"a.b": 1}, "$unset": {"a": ""}}), "a.b", both),
        (json!({"$set": {"a": 1, "a.b": 1, "a!": 1, "a0": 1}}), "a.b", both),
        (json!({"$set": {"a": 1}, "$inc": {"a": 1}}), "a", "is changed twice: by `a` and by `a`"),
        (json!({"$rename": {"a": "a.b"}}), "a.b", both),
        (json!({"$rename": {"a": "a"}}), "a", "is changed twice"),
        (json!({"$rename": {"a": "x"}, "$set": {"x": 1}}), "x", "is changed twice"),
        (json!({"$push": {"l": 1}, "$set": {"l.10": 1}}), "l.10", "by `l` and by `l.10`"),
    ]);
}

#[test]
fn refuses_what_a_document_does_not_admit() {
    refuse([
        (json!({"$set": {"s.x": 1}}), "s.x", "cannot be reached: `x` would be a field of a string"),
        (json!({"$set": {"n.x.y": 1}}), "n.x.y", "`x` would be a field of a number"),
        (json!({"$set": {"null.x": 1}}), "null.x", "`x` would be a field of null"),
        (json!({"$set": {"l.x": 1}}), "l.x", "has the part `x`, which is not a position"),
        (json!({"$set": {"l.01": 1}}), "l.01", "has the part `01`, which is not a position"),
        (json!({"$set": {"l.-1": 1}}), "l.-1", "has the part `-1`, which is not a position"),
        (json!({"$set": {"l.10003": 1}}), "l.10003", "more than 10000 places beyond the end"),
        (json!({"$set": {"l.18446744073709551615": 1}}), "l.18446744073709551615", "more than 10000 places"),
        (json!({"$set": {"l.99999999999999999999": 1}}), "l.99999999999999999999", "is not a position"),
        (json!({"$set": {"l.9999": 1, "l.1.9999": 1}}), "l.9999", "more than 10000 places beyond the end"),
        (json!({"$inc": {"s": 1}}), "s", "is a string, where `$inc` needs a number"),
        (json!({"$mul": {"null": 1}}), "null", "is null, where `$mul` needs a number"),
        (json!({"$inc": {"f": 1e308}}), "f", "would become a number that is too large, by `$inc`"),
        (json!({"$mul": {"big": 10}}), "big", "would become a number that is too large, by `$mul`"),
        (json!({"$push": {"s": 1}}), "s", "is a string, where `$push` needs a list"),
        (json!({"$addToSet": {"o": 1}}), "o", "is an object, where `$addToSet` needs a list"),
        (json!({"$pull": {"null": 1}}), "null", "is null, where `$pull` needs a list"),
        (json!({"$push": {"s.x": 1}}), "s.x", "cannot be reached"),
        (json!({"$rename": {"l.2.x": "x"}}), "l.2.x", "leads through a list, which `$rename` cannot"),
        (json!({"$rename": {"n": "l.0"}}), "l.0", "leads through a list"),
        (json!({"$rename": {"n": "s.x"}}), "s.x", "cannot be reached"),
    ]);
}

// attack 96
#[test]
fn no_document_becomes_nested_too_deeply() {
    let deep = vec!["a"; 128].join(".");
    assert!(apply(&json!({}), json!({"$set": {&deep: 1}})).is_ok());
    assert!(apply(&json!({}), json!({"$set": {&deep: []}})).unwrap_err().message().contains("nested deeper than 128"));
}

#[test]
fn paths_can_be_renamed() {
    let alias = |path: &str| {
        let rest = path.strip_prefix("metadata")?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("executor_metadata{rest}"))
    };
    let renamed = |update: Value| {
        let document = json!({"executor_metadata": {"tags": ["a"]}, "metadatas": 1});
        Update::parse(update)?.renamed(alias)?.apply(document.as_object().unwrap().clone())
    };
    let table = [
        (json!({"$set": {"metadata.tags": ["b"]}}), json!({"executor_metadata": {"tags": ["b"]}, "metadatas": 1})),
        (json!({"$set": {"metadata": 1, "metadatas": 2}}), json!({"executor_metadata": 1, "metadatas": 2})),
        (json!({"$push": {"metadata.tags": "b"}}), json!({"executor_metadata": {"tags": ["a", "b"]}, "metadatas": 1})),
        (
            json!({"$rename": {"metadata.tags": "metadata.labels"}}),
            json!({"executor_metadata": {"labels": ["a"]}, "metadatas": 1}),
        ),
        (json!({"$rename": {"metadatas": "metadata.n"}}), json!({"executor_metadata": {"tags": ["a"], "n": 1}})),
        (json!({"metadata": 1}), json!({"metadata": 1})),
    ];
    for (update, expected) in table {
        assert_eq!(renamed(update.clone()).unwrap(), expected, "{update}");
    }
    let error = renamed(json!({"$set": {"metadata.x": 1, "executor_metadata": 2}})).unwrap_err();
    assert!(error.message().contains("by `executor_metadata` and by `executor_metadata.x`"), "{error}");
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<i32>().prop_map(|n| json!(n)),
        "[a-c]{0,2}".prop_map(|s| json!(s)),
        Just(json!([1, "x"])),
        Just(json!({"a": 1}))
    ]
}

fn document() -> impl Strategy<Value = Map<String, Value>> {
    let value = leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    });
    prop::collection::btree_map("[a-c]", value, 0..3).prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_set_is_found(document in document(), path in "[a-c](\\.[a-c0-2]){0,3}", value in leaf()) {
        let Ok(changed) = Update::parse(json!({"$set": {&path: value}})).unwrap().apply(document) else { return Ok(()) };
        let found = path.split('.').try_fold(&changed, |at, part| match at {
            Value::Array(all) => all.get(part.parse::<usize>().unwrap()),
            other => other.get(part),
        });
        prop_assert!(found.is_some_and(|found| equal(found, &value)), "{} {}", path, changed);
        let filter = Filter::parse(&json!({&path: {"$eq": value}})).unwrap();
        prop_assert!(filter.matches(changed.as_object().unwrap()));
    }

    #[test]
    fn a_second_time_changes_nothing(document in document(), path in "[a-c](\\.[a-c0-2]){0,2}", value in leaf()) {
        for operator in ["$set", "$unset", "$min", "$max", "$addToSet", "$pull"] {
            let Ok(update) = Update::parse(json!({operator: {&path: value}})) else { continue };
            let Ok(Value::Object(once)) = update.apply(document.clone()) else { continue };
            prop_assert_eq!(&update.apply(once.clone()).unwrap(), &Value::Object(once), "{}", operator);
        }
    }
}

// attack 96
#[test]
fn a_document_does_not_grow_without_end() {
    let half = "x".repeat(5 << 20);
    let update = Update::parse(json!({"$push": {"a": half}})).unwrap();
    let mut document = json!({"a": []});
    for _ in 0..3 {
        document = update.apply(document.as_object().unwrap().clone()).unwrap();
    }
    let error = update.apply(document.as_object().unwrap().clone()).unwrap_err();
    assert_eq!(error.to_string(), "the document would be longer than 16 MiB");
    // It can still become shorter.
    let shorter = Update::parse(json!({"$set": {"a": []}})).unwrap();
    assert_eq!(shorter.apply(document.as_object().unwrap().clone()).unwrap(), json!({"a": []}));
}
