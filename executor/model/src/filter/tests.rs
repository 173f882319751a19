//! Tables of filters, documents and verdicts, operator by operator. The verdicts are MongoDB's.

use serde_json::json;

use super::*;

/// Checks one filter on several documents.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn check<const N: usize>(filter: Value, verdicts: [(Value, bool); N]) {
    let parsed = Filter::parse(&filter).unwrap();
    for (document, expected) in verdicts {
        assert_eq!(parsed.matches(document.as_object().unwrap()), expected, "{filter} on {document}");
    }
}

/// Checks one filter on documents whose field `a` has these values.
#[track_caller]
fn check_a<const N: usize, const M: usize>(filter: Value, yes: [Value; N], no: [Value; M]) {
    check(filter.clone(), yes.map(|value| (json!({"a": value}), true)));
    check(filter, no.map(|value| (json!({"a": value}), false)));
}

#[test]
fn equality() {
    check(json!({}), [(json!({}), true), (json!({"a": 1}), true)]);
    check_a(json!({"a": 1}), [json!(1), json!(1.0), json!([0, 1])], [json!("1"), json!(true), json!(2), json!([[1]])]);
    check_a(json!({"a": {"$eq": "x"}}), [json!("x"), json!(["x"])], [json!("X"), json!({"x": 1})]);
    check_a(json!({"a": [1, 2]}), [json!([1, 2]), json!([[1, 2], 3])], [json!([2, 1]), json!([1, 2, 3]), json!(1)]);
    check_a(
        json!({"a": {"b": 1, "c": 2}}),
        [json!({"c": 2, "b": 1.0})],
        [json!({"b": 1}), json!({"b": 1, "c": 2, "d": 3})],
    );
    check_a(json!({"a": {}}), [json!({}), json!([{}])], [json!({"b": 1}), json!([]), json!(null)]);
    check_a(json!({"a": {"$eq": 1, "$ne": 2}}), [json!(1), json!([1, 3])], [json!([1, 2])]);
    check_a(json!({"a": true}), [json!(true)], [json!(1), json!("true")]);
    check(json!({"a": 1, "b": 2}), [(json!({"a": 1, "b": 2}), true), (json!({"a": 1}), false)]);
    check(
        json!({"a": {"$eq": u64::MAX}}),
        [(json!({"a": u64::MAX}), true), (json!({"a": 1.844_674_407_370_955_2e19}), false)],
    );
}

#[test]
fn missing_and_null() {
    let missing = json!({});
    check_a(
        json!({"a": null}),
        [json!(null), json!([1, null])],
        [json!(0), json!(""), json!([]), json!({}), json!([[null]])],
    );
    for filter in [
        json!({"a": null}),
        json!({"a": {"$in": [1, null]}}),
        json!({"a": {"$gte": null}}),
        json!({"a": {"$lte": null}}),
    ] {
        check(filter, [(missing.clone(), true), (json!({"a": null}), true)]);
    }
    for filter in [
        json!({"a": {"$gt": null}}),
        json!({"a": {"$lt": null}}),
        json!({"a": {"$ne": null}}),
        json!({"a": {"$nin": [null]}}),
    ] {
        check(filter, [(missing.clone(), false), (json!({"a": null}), false)]);
    }
    check_a(json!({"a": {"$ne": null}}), [json!(1), json!([]), json!({})], [json!([null])]);
    check_a(json!({"a": {"$exists": true}}), [json!(null), json!([]), json!(0)], []);
    check_a(json!({"a": {"$exists": false}}), [], [json!(null), json!([])]);
    check(json!({"a": {"$exists": false}}), [(missing.clone(), true)]);
    check(json!({"a": {"$exists": 0}}), [(missing.clone(), true)]);
    check(json!({"a": {"$exists": 1}}), [(missing, false)]);
}

#[test]
fn null_at_the_end_of_a_path() {
    let null = [json!(null), json!(4), json!({}), json!({"b": null}), json!([{"b": 3}, {}]), json!([{"b": null}])];
    let other = [json!({"b": "hi"}), json!([]), json!([[]]), json!([1, null]), json!([{"b": 1}])];
    check_a(json!({"a.b": null}), null.clone(), other.clone());
    check_a(json!({"a.b": {"$in": [null, 75]}}), null.clone(), other.clone());
    check_a(json!({"a.b": {"$ne": null}}), other, null);
    check(json!({"a.b": null}), [(json!({}), true)]);
    let there = [json!({"b": null}), json!({"b": 1}), json!([{}, {"b": 1}])];
    let not_there = [json!(4), json!({}), json!([]), json!([1, [{"b": 1}]]), json!(null)];
    check_a(json!({"a.b": {"$exists": true}}), there.clone(), not_there.clone());
    check_a(json!({"a.b": {"$exists": false}}), not_there, there);
}

#[test]
fn paths_lead_through_objects_lists_and_positions() {
    let document =
        json!({"name": "a", "m": {"n": 1, "list": [{"k": 1}, {"k": [2, 3]}], "deep": [[{"k": 4}]]}, "$x": 1});
    let table = [
        (json!({"m.n": 1}), true),
        (json!({"m.list.k": 1}), true),
        (json!({"m.list.k": 3}), true),
        (json!({"m.list.k": [2, 3]}), true),
        (json!({"m.list.k": 4}), false),
        (json!({"m.list.1.k": 2}), true),
        (json!({"m.list.0.k": 2}), false),
        (json!({"m.list.1.k.0": 2}), true),
        (json!({"m.list.1.k.1": 2}), false),
        (json!({"m.list.0": {"k": 1}}), true),
        (json!({"m.list.00": {"k": 1}}), false),
        (json!({"m.deep.k": 4}), false),
        (json!({"m.deep.0.k": 4}), true),
        (json!({"m.deep.0.0.k": 4}), true),
        (json!({"name.n": 1}), false),
        (json!({"name.0": "a"}), false),
        (json!({"m.$x": 1}), false),
    ];
    for (filter, expected) in table {
        check(filter, [(document.clone(), expected)]);
    }
    // A list at a position is looked at as a whole.
    check_a(json!({"a.0": [1, 2]}), [json!([[1, 2]])], [json!([1, 2])]);
    check_a(json!({"a.0": 1}), [json!([1]), json!({"0": 1}), json!([{"0": 1}])], [json!([[1, 2]]), json!([0, 1])]);
}

#[test]
fn ranges_stay_within_a_type() {
    check_a(
        json!({"a": {"$gt": 1}}),
        [json!(2), json!(1.5), json!([0, 2])],
        [json!(1), json!("2"), json!(null), json!(true)],
    );
    check_a(json!({"a": {"$gte": 1}}), [json!(1), json!(1.0)], [json!(0.999), json!([])]);
    check_a(json!({"a": {"$lt": 1}}), [json!(0), json!(-1e300)], [json!(1), json!("0"), json!(null), json!({})]);
    check_a(json!({"a": {"$lte": 1}}), [json!(1), json!(0)], [json!(1.001)]);
    check_a(
        json!({"a": {"$gte": "1.0"}}),
        [json!("1.0"), json!("10"), json!("2")],
        [json!("0.9"), json!(2), json!("1")],
    );
    check_a(json!({"a": {"$lt": "b"}}), [json!("a"), json!("B"), json!("")], [json!("b"), json!("é")]);
    check_a(json!({"a": {"$gt": false}}), [json!(true)], [json!(false), json!(1)]);
    check_a(json!({"a": {"$gt": [1]}}), [json!([2]), json!([1, 0])], [json!([1]), json!([0, 9]), json!(2)]);
    check_a(json!({"a": {"$gt": {"b": 1}}}), [json!({"b": 2})], [json!({"b": 1}), json!(5)]);
    check(json!({"a": {"$gt": 1}}), [(json!({}), false)]);
}

#[test]
fn ranges_of_numbers_are_exact() {
    let beyond = 9_007_199_254_740_993_i64;
    check_a(json!({"a": {"$gt": 9_007_199_254_740_992.0}}), [json!(beyond)], [json!(9_007_199_254_740_992_i64)]);
    check_a(json!({"a": {"$lt": u64::MAX}}), [json!(u64::MAX - 1), json!(i64::MAX)], [json!(u64::MAX), json!(1.9e19)]);
    check_a(
        json!({"a": {"$gt": i64::MIN}}),
        [json!(-9_223_372_036_854_775_000_i64)],
        [json!(-9_223_372_036_854_775_808.0), json!(-1e19)],
    );
}

#[test]
fn both_ends_of_a_range_may_be_met_by_different_elements() {
    check_a(json!({"a": {"$gt": 1, "$lt": 3}}), [json!(2), json!([0, 5])], [json!(0), json!(5), json!([0, 1])]);
    check_a(json!({"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}), [json!([0, 2])], [json!([0, 5]), json!(2)]);
}

#[test]
fn lists_of_values() {
    check_a(
        json!({"a": {"$in": [1, "x", [7]]}}),
        [json!(1.0), json!(["x"]), json!([7]), json!([[7]])],
        [json!("1"), json!(7), json!(null)],
    );
    check_a(json!({"a": {"$in": []}}), [], [json!(1), json!(null), json!([])]);
    check_a(json!({"a": {"$nin": [1, "x"]}}), [json!(2), json!([]), json!(null)], [json!(1), json!([2, "x"])]);
    check_a(json!({"a": {"$nin": []}}), [json!(1)], []);
    check(json!({"a": {"$nin": [1]}}), [(json!({}), true)]);
    check(json!({"a": {"$ne": 1}}), [(json!({}), true), (json!({"a": [1, 2]}), false), (json!({"a": 2}), true)]);
}

#[test]
fn logic() {
    let one = json!({"a": 1, "b": 2});
    let table = [
        (json!({"$and": [{"a": 1}, {"b": 2}]}), true),
        (json!({"$and": [{"a": 1}, {"b": 3}]}), false),
        (json!({"$or": [{"a": 2}, {"b": 2}]}), true),
        (json!({"$or": [{"a": 2}, {"b": 3}]}), false),
        (json!({"$nor": [{"a": 2}, {"b": 3}]}), true),
        (json!({"$nor": [{"a": 2}, {"b": 2}]}), false),
        (json!({"$nor": [{"c": {"$exists": true}}]}), true),
        (json!({"a": 1, "$or": [{"b": 3}, {"$and": [{"b": {"$gt": 1}}]}]}), true),
        (json!({"a": 2, "$or": [{"b": 2}]}), false),
        (json!({"$or": [{}]}), true),
        (json!({"$nor": [{}]}), false),
    ];
    for (filter, expected) in table {
        check(filter, [(one.clone(), expected)]);
    }
}

#[test]
fn negation() {
    check_a(
        json!({"a": {"$not": {"$gt": 1}}}),
        [json!(1), json!("x"), json!(null), json!([])],
        [json!(2), json!([0, 2])],
    );
    check_a(json!({"a": {"$not": {"$gt": 1, "$lt": 3}}}), [json!(5), json!(0)], [json!(2), json!([0, 5])]);
    check_a(json!({"a": {"$not": {"$not": {"$eq": 1}}}}), [json!(1), json!([1])], [json!(2)]);
    check_a(json!({"a": {"$not": {"$regex": "^x"}}}), [json!("yx"), json!(1)], [json!("x"), json!(["y", "x"])]);
    check_a(
        json!({"a": {"$not": {"$gte": null}}}),
        [json!(4), json!([]), json!({"b": null})],
        [json!(null), json!([null])],
    );
    check(json!({"a": {"$not": {"$eq": 1}}}), [(json!({}), true)]);
    check(json!({"a": {"$not": {"$exists": true}}}), [(json!({}), true), (json!({"a": null}), false)]);
}

#[test]
fn types() {
    check_a(
        json!({"a": {"$type": "int"}}),
        [json!(1), json!([1, "x"]), json!(-2_147_483_648)],
        [json!(1.0), json!(2_147_483_648_u32)],
    );
    check_a(json!({"a": {"$type": "long"}}), [json!(2_147_483_648_u32), json!(u64::MAX)], [json!(1), json!(1.0)]);
    check_a(json!({"a": {"$type": "double"}}), [json!(1.0)], [json!(1)]);
    check_a(json!({"a": {"$type": "number"}}), [json!(1.0), json!(1)], [json!("1")]);
    check_a(json!({"a": {"$type": "string"}}), [json!(""), json!(["x"])], [json!(1), json!([])]);
    check_a(json!({"a": {"$type": 2}}), [json!("x")], [json!(2)]);
    check_a(json!({"a": {"$type": 2.0}}), [json!("x")], [json!(2)]);
    check_a(json!({"a": {"$type": "object"}}), [json!({}), json!([{}])], [json!([])]);
    check_a(json!({"a": {"$type": "array"}}), [json!([]), json!([[1]])], [json!({})]);
    check_a(json!({"a": {"$type": 8}}), [json!(true)], [json!(1)]);
    check_a(json!({"a": {"$type": "null"}}), [json!(null)], [json!(0)]);
    check(json!({"a": {"$type": "null"}}), [(json!({}), false)]);
    check_a(
        json!({"a": {"$type": ["string", 10, 16, 18, 1, 3, 4]}}),
        [json!(null), json!("x"), json!(1)],
        [json!(true)],
    );
}

#[test]
fn patterns() {
    check_a(
        json!({"a": {"$regex": "sec"}}),
        [json!("security"), json!("infosec"), json!(["x", "sec"])],
        [json!("Sec"), json!(1), json!({"sec": "sec"})],
    );
    check_a(json!({"a": {"$regex": "^sec$", "$options": "i"}}), [json!("SEC")], [json!("secs")]);
    check_a(json!({"a": {"$regex": "^b$", "$options": "m"}}), [json!("a\nb\nc")], [json!("ab")]);
    check_a(json!({"a": {"$regex": "a.b", "$options": "s"}}), [json!("a\nb")], [json!("ab")]);
    check_a(json!({"a": {"$regex": "a b # and no more", "$options": "x"}}), [json!("ab")], [json!("a b")]);
    check_a(json!({"a": {"$regex": "A.B", "$options": "is"}}), [json!("a\nb")], [json!("ab")]);
    check_a(json!({"a": {"$regex": "^a", "$ne": "ab"}}), [json!("ac")], [json!("ab"), json!("b")]);
    check_a(json!({"a": {"$regex": ""}}), [json!("")], [json!(null)]);
}

#[test]
fn all_elements() {
    check_a(json!({"a": {"$all": ["x", "y"]}}), [json!(["y", "z", "x"])], [json!(["x"]), json!("x"), json!([])]);
    check_a(json!({"a": {"$all": ["x"]}}), [json!("x"), json!(["x"])], [json!("y")]);
    check_a(
        json!({"a": {"$all": [["x", "y"]]}}),
        [json!(["x", "y"]), json!([["x", "y"]])],
        [json!(["y", "x"]), json!(["x"])],
    );
    check_a(json!({"a": {"$all": []}}), [], [json!([]), json!(null), json!("x")]);
    check(json!({"a": {"$all": [null]}}), [(json!({}), true)]);
    let both = json!({"a": {"$all": [{"$elemMatch": {"s": "M", "n": {"$gt": 50}}}, {"$elemMatch": {"s": "L"}}]}});
    check_a(both, [json!([{"s": "M", "n": 100}, {"s": "L"}])], [json!([{"s": "M", "n": 9}, {"s": "L", "n": 100}])]);
}

#[test]
fn one_element() {
    check_a(
        json!({"a": {"$elemMatch": {"b": 1, "c": 2}}}),
        [json!([{"b": 1, "c": 2}])],
        [json!([{"b": 1}, {"c": 2}]), json!({"b": 1, "c": 2}), json!([1])],
    );
    check_a(json!({"a": {"$elemMatch": {}}}), [json!([{}]), json!([[]])], [json!([]), json!([1])]);
    check_a(
        json!({"a": {"$elemMatch": {"b": null}}}),
        [json!([[]]), json!([{}]), json!([{"b": null}])],
        [json!([{"b": 1}]), json!([1])],
    );
    check_a(json!({"a": {"$elemMatch": {"0": 1}}}), [json!([[1, 2]])], [json!([[2, 1]]), json!([1])]);
    check_a(json!({"a": {"$elemMatch": {"$or": [{"b": 1}, {"c": 1}]}}}), [json!([{"c": 1}])], [json!([{"d": 1}])]);
    check_a(json!({"a": {"$elemMatch": {"$eq": null}}}), [json!([1, null])], [json!([]), json!(null), json!([{}])]);
    check_a(json!({"a": {"$elemMatch": {"$ne": null}}}), [json!([[]]), json!([null, 1])], [json!([]), json!([null])]);
    check_a(json!({"a": {"$elemMatch": {"$in": ["x"]}}}), [json!(["x"])], [json!([["x"]]), json!("x")]);
    check_a(json!({"a": {"$elemMatch": {"$not": {"$gte": 3}}}}), [json!([5, 1])], [json!([5]), json!([])]);
    check_a(json!({"a": {"$elemMatch": {"$size": 2}}}), [json!([[1, 2]])], [json!([1, 2])]);
    check_a(json!({"a": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}}), [json!([[0, 2]])], [json!([2]), json!([[0]])]);
    check_a(json!({"a": {"$elemMatch": {"b.c": 1}}}), [json!([{"b": [{"c": 1}]}])], [json!([{"b": 1}])]);
    check_a(
        json!({"a.b": {"$elemMatch": {"$gt": 1}}}),
        [json!({"b": [2]}), json!([{"b": [0]}, {"b": [2]}])],
        [json!({"b": 2})],
    );
    check(json!({"a": {"$elemMatch": {"$exists": false}}}), [(json!({}), false), (json!({"a": [1]}), false)]);
}

#[test]
fn sizes() {
    check_a(
        json!({"a": {"$size": 2}}),
        [json!([1, 2]), json!([[], null])],
        [json!([1]), json!("xy"), json!({"a": 1, "b": 2}), json!([[1, 2]])],
    );
    check_a(json!({"a": {"$size": 0.0}}), [json!([])], [json!(null), json!([[]])]);
    check_a(json!({"a.0": {"$size": 1}}), [json!([[5]])], [json!([5])]);
    check(json!({"a": {"$size": 0}}), [(json!({}), false)]);
}

#[test]
fn remainders() {
    check_a(
        json!({"a": {"$mod": [4, 0]}}),
        [json!(8), json!(0), json!(4.9), json!([3, 4])],
        [json!(3), json!("8"), json!(null), json!(1e300)],
    );
    check_a(json!({"a": {"$mod": [4, -1]}}), [json!(-5), json!(-1.5)], [json!(5), json!(3)]);
    check_a(json!({"a": {"$mod": [-4, 1]}}), [json!(5)], [json!(-5)]);
    check_a(json!({"a": {"$mod": [4.9, 1.2]}}), [json!(5)], [json!(4)]);
    check_a(json!({"a": {"$mod": [10, 5]}}), [json!(u64::MAX)], [json!(i64::MIN)]);
    check_a(json!({"a": {"$mod": [-1, 0]}}), [json!(i64::MIN)], []);
}

#[test]
fn the_filters_of_the_seed() {
    let policy = json!({"release_tag": "beta", "tags": "network,security", "version": "1.0"});
    check(
        json!({"release_tag": "beta", "tags": {"$regex": "security"}, "version": {"$gte": "1.0"}}),
        [(policy, true), (json!({"release_tag": "beta", "tags": ["security"], "version": "0.9"}), false)],
    );
    let executor = json!({
        "executor_metadata": {"tags": ["x86_64", "kubernetes-cluster"]},
        "executor_hardware_info": {"vcpus": {"count": 64}},
    });
    check(
        json!({
            "executor_metadata.tags": {"$in": ["kubernetes-cluster"]},
            "executor_hardware_info.vcpus.count": {"$gte": 16},
        }),
        [(executor, true), (json!({}), false)],
    );
    check(
        json!({"graph_search_tags": {"$in": ["security"]}, "graph_version": "1.0"}),
        [(json!({"graph_search_tags": ["ip", "security"], "graph_version": "1.0"}), true)],
    );
}

#[test]
fn names_the_fields_that_it_looks_at() {
    let filter = json!({"a.b": 1, "$or": [{"c": 2}, {"$nor": [{"d.0.x": {"$elemMatch": {"e": 1}}}]}], "f": {"$ne": 1}});
    assert_eq!(Filter::parse(&filter).unwrap().fields().collect::<Vec<_>>(), ["a", "c", "d", "f"]);
    assert_eq!(Filter::parse(&json!({})).unwrap().fields().count(), 0);
}
