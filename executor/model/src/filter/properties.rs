//! What holds for all filters and documents.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Values out of few, so that filters and documents meet: what is special about each type, and lists of it.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        (-2..4_i64).prop_map(|n| json!(n)),
        Just(json!(1.5)),
        text().prop_map(Value::String),
    ];
    scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(name(), inner, 0..3).prop_map(|fields| json!(fields)),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "ab", "abc", "b", "ba", "é", "\u{10ffff}", "1.0", "1.0-beta"])
        .prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "0"]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![3 => name(), 1 => (name(), name()).prop_map(|(outer, inner)| format!("{outer}.{inner}"))]
}

fn document() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(name(), value(), 0..4).prop_map(|fields| fields.into_iter().collect())
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "^a", "^ab", "^ab?", "^a|b", "b$", "^1.0", "^(a|b)", "^\u{10ffff}", "^ab+", ""])
}

/// What stands under a field.
fn condition() -> impl Strategy<Value = Value> {
    let compare = prop::sample::select(vec!["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]);
    let lists = prop::sample::select(vec!["$in", "$nin", "$all"]);
    let operator = prop_oneof![
        4 => (compare, value()).prop_map(|(name, value)| json!({name: value})),
        2 => (lists, prop::collection::vec(value(), 0..3)).prop_map(|(name, all)| json!({name: all})),
        2 => (text(), text()).prop_map(|(low, high)| json!({"$gte": low, "$lt": high})),
        2 => (pattern(), prop::sample::select(vec!["", "i", "m", "s", "x"]))
            .prop_map(|(pattern, options)| json!({"$regex": pattern, "$options": options})),
        1 => any::<bool>().prop_map(|there| json!({"$exists": there})),
        1 => prop::sample::select(vec!["string", "array", "number", "null"]).prop_map(|name| json!({"$type": name})),
        1 => (0..3_u8).prop_map(|size| json!({"$size": size})),
        1 => (1..3_i64, 0..2_i64).prop_map(|(divisor, remainder)| json!({"$mod": [divisor, remainder]})),
    ];
    let operators = operator.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| json!({"$not": inner})),
            inner.clone().prop_map(|inner| json!({"$elemMatch": inner})),
            (path(), inner).prop_map(|(path, inner)| json!({"$elemMatch": {path: inner}})),
        ]
    });
    prop_oneof![1 => value(), 3 => operators]
}

fn filter() -> impl Strategy<Value = Value> {
    let plain = prop::collection::btree_map(path(), condition(), 0..3).prop_map(|fields| json!(fields));
    let lists = prop::sample::select(vec!["$and", "$and", "$or", "$nor"]);
    plain.prop_recursive(3, 12, 3, move |inner| {
        let list = prop::collection::vec(inner.clone(), 1..3);
        (lists.clone(), list, inner).prop_map(|(name, all, beside)| {
            let mut fields = beside.as_object().cloned().unwrap_or_default();
            fields.insert(name.to_owned(), Value::Array(all));
            Value::Object(fields)
        })
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let operators = "\\$(and|or|nor|not|eq|ne|gt|in|nin|all|elemMatch|size|mod|type|exists|regex|options|each|set|inc|push|pull|rename)";
    let key = prop_oneof![operators, "[a-c](\\.[a-c0-9])?", ".{0,3}"];
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,4}".prop_map(|s| json!(s))
    ];
    scalar.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// A filter on one field whose operators are about strings, the only ones that narrow.
fn text_filter() -> impl Strategy<Value = Value> {
    let range = prop::sample::select(vec!["$gt", "$gte", "$lt", "$lte", "$eq"]);
    let options = prop_oneof![3 => Just(""), 1 => prop::sample::select(vec!["i", "m", "s", "x"])];
    let condition = prop_oneof![
        text().prop_map(Value::String),
        (range.clone(), text()).prop_map(|(name, text)| json!({name: text})),
        (text(), text()).prop_map(|(low, high)| json!({"$gte": low, "$lt": high})),
        (prop::sample::select(vec!["$in", "$all"]), prop::collection::vec(text(), 1..3))
            .prop_map(|(name, all)| json!({name: all})),
        (pattern(), options).prop_map(|(pattern, options)| json!({"$regex": pattern, "$options": options})),
    ];
    let clauses = prop::collection::vec(condition.prop_map(|condition| json!({"a": condition})), 1..3);
    clauses.prop_map(|clauses| json!({"$and": clauses}))
}

fn text_document() -> impl Strategy<Value = Map<String, Value>> {
    let one = prop_oneof![text(), prop::sample::select(vec!["x\na", "A", "AB", "aB", "b\nab"]).prop_map(str::to_owned)];
    let value =
        prop_oneof![one.clone().prop_map(Value::String), prop::collection::vec(one, 0..4).prop_map(|all| json!(all)),];
    value.prop_map(|value| [("a".to_owned(), value)].into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn narrowing_never_loses_a_match(filter in filter(), document in document()) {
        let filter = Filter::parse(&filter).unwrap();
        let held = |field: &str| strings(&document, field).into_iter().map(str::to_owned).collect();
        prop_assert!(!filter.matches(&document) || filter.narrow().admits(held));
    }

    #[test]
    fn narrowing_by_strings_never_loses_a_match(filter in text_filter(), document in text_document()) {
        let filter = Filter::parse(&filter).unwrap();
        let held = |field: &str| strings(&document, field).into_iter().map(str::to_owned).collect();
        prop_assert!(!filter.matches(&document) || filter.narrow().admits(held));
    }

    #[test]
    fn the_verdict_depends_on_no_other_field(filter in filter(), document in document()) {
        let filter = Filter::parse(&filter).unwrap();
        let mut less = document.clone();
        less.retain(|name, _| filter.fields().any(|field| field == name));
        prop_assert_eq!(filter.matches(&less), filter.matches(&document));
    }

    #[test]
    fn opposites_are_opposites(path in path(), value in value(), document in document()) {
        let verdict = |filter: Value| Filter::parse(&filter).unwrap().matches(&document);
        let equal = verdict(json!({path.clone(): {"$eq": value}}));
        prop_assert_eq!(equal, verdict(json!({path.clone(): {"$in": [value]}})));
        prop_assert_eq!(equal, verdict(json!({path.clone(): {"$all": [value]}})));
        prop_assert_eq!(equal, !verdict(json!({path.clone(): {"$ne": value}})));
        prop_assert_eq!(equal, !verdict(json!({path.clone(): {"$nin": [value]}})));
        prop_assert_eq!(equal, !verdict(json!({"$nor": [{path.clone(): {"$eq": value}}]})));
        prop_assert_eq!(equal, !verdict(json!({path: {"$not": {"$eq": value}}})));
    }

    #[test]
    fn no_json_makes_it_panic(filter in any_json(), document in document()) {
        if let Ok(filter) = Filter::parse(&filter) {
            let _ = (filter.matches(&document), filter.narrow());
        }
        if let Ok(update) = crate::Update::parse(filter) {
            let _ = update.apply(document);
        }
    }
}
