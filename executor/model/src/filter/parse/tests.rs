//! Filters that are refused, and what is said of them.

use serde_json::json;

use crate::Filter;

// attack 67
#[test]
fn says_what_is_wrong_and_where() {
    let table = [
        (json!([]), "", "must be a JSON object, a filter, not a list"),
        (json!({"$where": "1"}), "$where", "unknown operator `$where`: here are $and, $nor, $or"),
        (json!({"$ands": []}), "$ands", "did you mean `$and`?"),
        (json!({"$gt": 1}), "$gt", "the operator `$gt` stands under a field"),
        (json!({"a": {"$regx": "x"}}), "a", "unknown operator `$regx`: did you mean `$regex`? here are $all,"),
        (json!({"a": {"$where": "1"}}), "a", "unknown operator `$where`: here are"),
        (json!({"a": {"$or": [{"b": 1}]}}), "a", "the operator `$or` stands beside fields"),
        (json!({"$or": [{"a": 1}, {"b": {"$x": 1}}]}), "$or.1.b", "unknown operator `$x`"),
        (json!({"a": {"$not": {"$elemMatch": {"b": {"$x": 1}}}}}), "a.$not.$elemMatch.b", "unknown operator `$x`"),
        (json!({"a": {"$gt": 1, "b": 2}}), "a", "mixes operators with `b`"),
        (json!({"a": {"b": {"$gt": 1}}}), "a", "has `$gt` within a value"),
        (json!({"a": {"$in": [{"$regex": "x"}]}}), "a.$in.0", "for a pattern in a list use `$or`"),
        (json!({"a": {"$eq": {"$gt": 1}}}), "a.$eq", "has `$gt` within a value"),
        (json!({"a": {"$all": [{"$gt": 1}]}}), "a.$all.0", "has `$gt` within a value"),
        (json!({"a": {"$all": [{"$elemMatch": {}}, 1]}}), "a.$all", "mixes `$elemMatch`"),
        (json!({"a": {"$all": "x"}}), "a.$all", "must be a list, not a string"),
        (json!({"a.$gt": 1}), "a.$gt", "has the operator `$gt` in a path"),
        (json!({"a..b": 1}), "a..b", "a part of it is empty"),
        (json!({"": 1}), "", "a part of it is empty"),
        (json!({"$and": []}), "$and", "at least one filter"),
        (json!({"$or": []}), "$or", "at least one filter"),
        (json!({"$nor": []}), "$nor", "at least one filter"),
        (json!({"$and": {"a": 1}}), "$and", "must be a list, not an object"),
        (json!({"$and": [1]}), "$and.0", "must be a filter, an object, not a number"),
        (json!({"a": {"$in": "x"}}), "a.$in", "must be a list, not a string"),
        (json!({"a": {"$nin": 1}}), "a.$nin", "must be a list, not a number"),
        (json!({"a": {"$not": 1}}), "a.$not", "must be an object of operators"),
        (json!({"a": {"$not": {}}}), "a.$not", "must be an object of operators"),
        (json!({"a": {"$exists": "no"}}), "a.$exists", "must be true or false, not a string"),
        (
            json!({"a": {"$type": "date"}}),
            "a.$type",
            "`date` names no type of a JSON value; there are double (1), string (2)",
        ),
        (json!({"a": {"$type": 7}}), "a.$type", "7 names no type"),
        (json!({"a": {"$type": []}}), "a.$type", "names no type: the list is empty"),
        (json!({"a": {"$type": [true]}}), "a.$type", "a boolean names no type"),
        (json!({"a": {"$options": "i"}}), "a.$options", "is a part of `$regex`, which is missing"),
        (json!({"a": {"$regex": "("}}), "a.$regex", "is not a valid pattern: unclosed group"),
        (json!({"a": {"$regex": "x", "$options": "g"}}), "a.$options", "has the letter `g`"),
        (json!({"a": {"$elemMatch": 1}}), "a.$elemMatch", "must be an object of operators, or a filter, not a number"),
        (json!({"a": {"$elemMatch": {"$gt": 1, "b": 1}}}), "a.$elemMatch", "mixes operators with `b`"),
        (json!({"a": {"$size": -1}}), "a.$size", "must be a whole number, 0 or more"),
        (json!({"a": {"$size": 1.5}}), "a.$size", "must be a whole number, 0 or more"),
        (json!({"a": {"$size": "1"}}), "a.$size", "must be a whole number, 0 or more"),
        (json!({"a": {"$mod": [0, 1]}}), "a.$mod", "has the divisor 0"),
        (json!({"a": {"$mod": [0.5, 1]}}), "a.$mod", "has the divisor 0"),
        (json!({"a": {"$mod": [1]}}), "a.$mod", "must be a list of two numbers"),
        (json!({"a": {"$mod": [1, 2, 3]}}), "a.$mod", "must be a list of two numbers"),
        (json!({"a": {"$mod": ["1", 0]}}), "a.$mod", "must be a list of two numbers"),
        (json!({"a": {"$mod": [1e300, 0]}}), "a.$mod", "of at most 64 bits"),
        (json!({"a": {"$mod": 2}}), "a.$mod", "must be a list"),
    ];
    for (filter, field, message) in table {
        let error = Filter::parse(&filter).expect_err(&filter.to_string());
        assert_eq!(error.field(), field, "{filter}: {error}");
        assert!(error.message().contains(message), "{filter}: {error}");
    }
}

// attack 67
#[test]
fn a_filter_has_bounds() {
    let clauses = |n: usize| json!({"$or": vec![json!({"a": 1}); n]});
    assert!(Filter::parse(&clauses(999)).is_ok());
    assert!(Filter::parse(&clauses(1000)).unwrap_err().message().contains("more than 1000 conditions"));
    let patterns = |n: usize| json!({"$or": vec![json!({"a": {"$regex": "x"}}); n]});
    assert!(Filter::parse(&patterns(20)).is_ok());
    assert!(Filter::parse(&patterns(21)).unwrap_err().message().contains("more than 20 patterns"));
    let values: Vec<u32> = (0..100_000).collect();
    assert!(Filter::parse(&json!({"a": {"$in": values}})).is_ok());
}
