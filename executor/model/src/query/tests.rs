//! Tables of options, documents and answers.

use serde_json::json;

use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<Options, FieldError> {
    Options::parse(pairs.iter().copied())
}

/// Checks in which order documents `{"id": …, "v": value}` come.
#[track_caller]
fn check_order(pairs: &[(&str, &str)], documents: &[Value], expected: &[usize]) {
    let with_idx = documents.iter().enumerate().map(|(idx, document)| {
        let mut document = document.as_object().unwrap().clone();
        document.insert("idx".to_owned(), json!(idx));
        document
    });
    let mut documents: Vec<_> = with_idx.collect();
    let options = parse(pairs).unwrap();
    options.order(&mut documents);
    let ranks: Vec<Rank> = documents.iter().map(|document| options.rank(document)).collect();
    assert!(ranks.is_sorted_by(|left, right| options.compare(left, right).is_le()), "{pairs:?}");
    let found: Vec<Value> = documents.iter().map(|document| document["idx"].clone()).collect();
    assert_eq!(json!(found), json!(expected), "{pairs:?}");
}

#[test]
fn skip_and_limit() {
    let five = vec![json!({}); 5];
    check_order(&[], &five, &[0, 1, 2, 3, 4]);
    check_order(&[("limit", "2")], &five, &[0, 1]);
    check_order(&[("limit", "0")], &five, &[0, 1, 2, 3, 4]);
    check_order(&[("skip", "3")], &five, &[3, 4]);
    check_order(&[("skip", "1"), ("limit", "2")], &five, &[1, 2]);
    check_order(&[("skip", "9"), ("limit", "2")], &five, &[]);
    let options = parse(&[("limit", "0"), ("skip", "2")]).unwrap();
    assert_eq!((options.limit(), options.skip(), options.sorts()), (None, 2, false));
    let options = parse(&[("sort", "a.b,-c"), ("projection", "d")]).unwrap();
    assert!(options.sorts() && options.projects());
    assert_eq!(options.keeps().map(Iterator::collect), Some(vec!["d"]));
    assert!(parse(&[("projection", "-d")]).unwrap().keeps().is_none());
    assert_eq!(options.fields().collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn sort() {
    let documents =
        [json!({"a": 2, "b": 1}), json!({"a": 1, "b": 1}), json!({"a": 2, "b": 0}), json!({"a": 1.0, "b": 2})];
    check_order(&[("sort", "a")], &documents, &[1, 3, 0, 2]);
    check_order(&[("sort", "-a")], &documents, &[0, 2, 1, 3]);
    check_order(&[("sort", "a,b")], &documents, &[1, 3, 2, 0]);
    check_order(&[("sort", "a, -b")], &documents, &[3, 1, 0, 2]);
    check_order(&[("sort", r#"{"b": -1, "a": 1}"#)], &documents, &[3, 1, 0, 2]);
    check_order(&[("sort", r#"{"a": 1, "b": -1}"#)], &documents, &[3, 1, 0, 2]);
    check_order(&[("sort", r#"{"b": 1.0, "a": 1}"#)], &documents, &[2, 1, 0, 3]);
    check_order(&[("sort", "-b"), ("skip", "1"), ("limit", "1")], &documents, &[0]);
}

#[test]
fn sort_follows_types_lists_and_paths() {
    let values =
        [json!(true), json!([]), json!({"x": 1}), json!("s"), json!(null), json!(1), json!([7, 0]), json!(["z", 3])];
    let documents: Vec<Value> = values.iter().map(|value| json!({"v": value})).chain([json!({})]).collect();
    check_order(&[("sort", "v")], &documents, &[1, 4, 8, 6, 5, 7, 3, 2, 0]);
    check_order(&[("sort", "-v")], &documents, &[0, 2, 7, 3, 6, 5, 4, 8, 1]);
    let nested = [json!({"a": {"b": 2}}), json!({"a": [{"b": 3}, {"b": 1}]}), json!({"a": 5}), json!({"a": [9]})];
    check_order(&[("sort", "a.b")], &nested, &[2, 3, 1, 0]);
    check_order(&[("sort", "-a.b")], &nested, &[1, 0, 2, 3]);
    check_order(&[("sort", "a.0")], &[json!({"a": [2, 0]}), json!({"a": [1, 9]})], &[1, 0]);
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn check_projection(projection: &str, document: Value, expected: Value) {
    let options = parse(&[("projection", projection)]).unwrap();
    let found = options.project(document.as_object().unwrap().clone());
    assert_eq!(Value::Object(found), expected, "{projection} on {document}");
}

#[test]
fn projection() {
    let document = json!({"_id": 0, "a": 1, "b": {"c": 2, "d": 3}, "l": [{"c": 4, "d": 5}, 6, [{"c": 7}]]});
    check_projection("a,b.c,x", document.clone(), json!({"a": 1, "b": {"c": 2}}));
    check_projection(r#"{"a": 1, "b": true}"#, document.clone(), json!({"a": 1, "b": {"c": 2, "d": 3}}));
    check_projection("l.c", document.clone(), json!({"l": [{"c": 4}, [{"c": 7}]]}));
    check_projection("a.x", document.clone(), json!({}));
    check_projection("b.x", document.clone(), json!({"b": {}}));
    check_projection("-a,-b.c,-l", document.clone(), json!({"_id": 0, "b": {"d": 3}}));
    check_projection(
        r#"{"l.c": 0, "a": false, "b": 0, "_id": 0}"#,
        document.clone(),
        json!({"l": [{"d": 5}, 6, [{}]]}),
    );
    check_projection("-a.x,-y", document.clone(), document);
    check_projection("b.c,b.d", json!({"b": {"c": 1, "d": 2, "e": 3}}), json!({"b": {"c": 1, "d": 2}}));
}

#[test]
fn says_what_is_wrong() {
    let many = vec!["a"; 101].join(",");
    let table = [
        ("limit", "-1", "limit", "must be a whole number, 0 or more, not `-1`"),
        ("limit", "", "limit", "must be a whole number"),
        ("skip", "1.5", "skip", "must be a whole number"),
        ("skip", "99999999999999999999", "skip", "must be a whole number"),
        ("lmit", "1", "lmit", "unknown option `lmit`: did you mean `limit`? a query has limit, skip, sort, projection"),
        ("colour", "1", "colour", "unknown option `colour`: a query has"),
        ("sort", "", "sort", "has ``, which is not a dotted path"),
        ("sort", "a,,b", "sort", "has ``, which is not a dotted path"),
        ("sort", "a..b", "sort", "has `a..b`, which is not a dotted path"),
        ("sort", "a,-a", "sort", "names `a` twice"),
        ("sort", "{}", "sort", "names no field"),
        ("sort", "{\"a\": 1", "sort", "is not valid JSON"),
        ("sort", r#"{"a": 2}"#, "sort", "has `a` with a value that is none of 1, 0, -1"),
        ("sort", r#"{"a": "asc"}"#, "sort", "has `a` with a value that is none of"),
        ("sort", r#"{"a": 0}"#, "sort", "has `a` with 0"),
        ("sort", r#"{"$natural": 1}"#, "sort", "has the operator `$natural`"),
        ("sort", &many, "sort", "names more than 100 fields"),
        ("projection", "a,-b", "projection", "both keeps fields and leaves fields out (`b`)"),
        ("projection", r#"{"a": 0, "b": 1}"#, "projection", "both keeps fields and leaves fields out (`b`)"),
        ("projection", r#"{"a": -1}"#, "projection", "has `a` with -1"),
        ("projection", "a,a.b", "projection", "names `a.b` twice, or a field within it"),
        ("projection", "a.b,a", "projection", "names `a` twice, or a field within it"),
        ("projection", r#"{"a": {"$slice": 1}}"#, "projection", "has `a` with a value that is none of"),
    ];
    for (name, value, field, message) in table {
        let error = parse(&[(name, value)]).expect_err(value);
        assert_eq!(error.field(), field, "{name}={value}: {error}");
        assert!(error.message().contains(message), "{name}={value}: {error}");
    }
    assert_eq!(parse(&[("limit", "1"), ("limit", "2")]).unwrap_err().message(), "is given twice");
}
