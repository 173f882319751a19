use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `path message` of each violation.
fn violations(schema: &Value, document: &Value) -> Vec<String> {
    let schema = Schema::parse(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let found = schema.check(document);
    assert_eq!(schema.check_text(&document.to_string()), found, "{document}");
    found.iter().map(|Violation { path, message }| format!("{path} {message}")).collect()
}

#[track_caller]
fn matches(schema: &Value, documents: &[Value]) {
    for document in documents {
        assert_eq!(violations(schema, document), [""; 0], "{schema} {document}");
    }
}

#[track_caller]
fn finds(schema: &Value, document: &Value, expected: &[&str]) {
    assert_eq!(violations(schema, document), expected, "{schema} {document}");
}

/// A template of one field, `x`.
fn x(spec: &Value) -> Value {
    json!({ "x": spec })
}

#[test]
fn each_attribute_holds() {
    for (spec, good, bad, message) in [
        (json!({"type": "string"}), json!(""), json!(1), "must be a string, not a number"),
        (json!({"type": "string"}), json!("a"), json!(null), "must be a string, not null"),
        (json!({"type": "number"}), json!(-1.5), json!(true), "must be a number, not a boolean"),
        (json!({"type": "number"}), json!(18446744073709551615_u64), json!("1"), "must be a number, not a string"),
        (json!({"type": "boolean"}), json!(false), json!(0), "must be true or false, not a number"),
        (json!({"type": "array"}), json!([1, "a"]), json!({}), "must be a list, not an object"),
        (json!({"type": "object"}), json!({"any": 1}), json!([]), "must be an object, not a list"),
        (json!({"type": "string", "pattern": "b"}), json!("abc"), json!("ac"), "must match the pattern `b`"),
        (json!({"pattern": "b"}), json!(5), json!("ac"), "must match the pattern `b`"),
        (json!({"type": "string", "length": 3}), json!("äöü"), json!("abcd"), "must have at most 3 characters"),
        (json!({"type": "number", "min": 0}), json!(0), json!(-1), "must be at least 0"),
        (json!({"type": "number", "max": 0.5}), json!(0.5), json!(0.6), "must be at most 0.5"),
        (
            json!({"type": "number", "min": 9007199254740993_u64}),
            json!(9007199254740993_u64),
            json!(9007199254740992_u64),
            "must be at least 9007199254740993",
        ),
        (json!({"type": "string", "choices": ["a", "b"]}), json!("b"), json!("c"), "must be one of `a`, `b`"),
        (json!({"choices": [1, true, null]}), json!(1.0), json!(2), "must be one of 1, true, null"),
        (json!({"choices": [1, true, null]}), json!(null), json!(false), "must be one of 1, true, null"),
        (json!({"choices": [1]}), json!(1), json!([1]), "must be one of 1"),
        (json!({"choices": [0]}), json!(-0.0), json!({}), "must be one of 0"),
        (json!({"type": "array", "max_length": 1}), json!([1]), json!([1, 2]), "must have at most 1 elements"),
    ] {
        let schema = x(&spec);
        matches(&schema, &[json!({"x": good}), json!({}), json!({"y": bad})]);
        finds(&schema, &json!({"x": bad}), &[&format!("x {message}")]);
    }
}

#[test]
fn an_empty_schema_and_a_field_of_any_type_take_everything() {
    for value in [json!(null), json!(1), json!([{}]), json!({"a": [1]})] {
        matches(&json!({}), std::slice::from_ref(&value));
        for spec in [json!({}), json!({"type": "any", "description": "x"}), json!({"type": null, "pattern": null})] {
            matches(&x(&spec), &[json!({"x": value})]);
        }
    }
    assert!(Schema::parse(&json!({})).unwrap().is_anything());
}

#[test]
fn lists_and_objects_are_checked_inside_and_everything_is_found() {
    let schema = json!({
        "list": {"type": "array", "max_length": 2, "items": {"type": "string", "pattern": "^a"}, "choices": ["a", "ab", 5]},
        "deep": {"type": "object", "required": ["a", "absent"], "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "number", "required": true}}}},
            "b": {"type": "object", "properties": {"c": {"type": "boolean"}}},
        }},
    });
    matches(
        &schema,
        &[json!({"list": ["a", "ab"], "deep": {"absent": null, "a": [{"n": 1}], "b": {"c": true, "d": 1}}})],
    );
    let document = json!({
        "list": ["a", "abc", 5, "b"],
        "deep": {"a": [{"n": 1}, {}, {"n": "x"}, 7], "b": {"c": 0}},
    });
    let mut found = violations(&schema, &document);
    found.sort();
    assert_eq!(
        found,
        [
            "deep.a.1.n is required",
            "deep.a.2.n must be a number, not a string",
            "deep.a.3 must be an object, not a number",
            "deep.absent is required",
            "deep.b.c must be true or false, not a number",
            "list must have at most 2 elements",
            "list.1 must be one of `a`, `ab`, 5",
            "list.2 must be a string, not a number",
            "list.3 must be one of `a`, `ab`, 5",
            "list.3 must match the pattern `^a`",
        ]
    );
}

#[test]
fn a_map_of_fields_wants_an_object() {
    let schema = x(&json!({"type": "string"}));
    for (document, got) in [(json!([]), "a list"), (json!("x"), "a string"), (json!(null), "null")] {
        finds(&schema, &document, &[&format!(" must be an object, not {got}")]);
    }
}

#[test]
fn fields_are_required_by_themselves_or_by_a_list() {
    let itself = json!({"a": {"required": true}, "b": {"type": "string", "required": false}});
    let listed = json!({"a": {}, "b": {}, "required": ["a"]});
    for schema in [itself, listed] {
        matches(&schema, &[json!({"a": null}), json!({"a": 1, "b": "x"})]);
        finds(&schema, &json!({"b": "x"}), &["a is required"]);
        finds(&schema, &json!({}), &["a is required"]);
    }
    finds(&json!({"o": {"required": ["p"]}}), &json!({"o": {}}), &["o.p is required"]);
    // An object that is not there lacks nothing.
    matches(&json!({"o": {"required": ["p"]}}), &[json!({}), json!({"o": {"p": 1}})]);
    // The field that a list cannot be: one called `required`.
    matches(&json!({"required": {"type": "boolean"}}), &[json!({"required": true})]);
    let names: Vec<String> = (0..150).map(|n| format!("f{n}")).collect();
    let all: serde_json::Map<_, _> = names.iter().map(|name| (name.clone(), json!(1))).collect();
    let schema = json!({ "required": names });
    matches(&schema, &[json!(all)]);
    let mut most = all;
    most.remove("f149");
    most.remove("f3");
    finds(&schema, &json!(most), &["f149 is required", "f3 is required"]);
}

#[test]
fn choices_of_a_list_and_of_its_elements_both_hold() {
    let schema = x(&json!({"type": "array", "items": {"choices": ["a", "b"]}, "choices": ["b", "c"]}));
    matches(&schema, &[json!({"x": ["b"]})]);
    for choice in ["a", "c"] {
        assert_eq!(violations(&schema, &json!({"x": [choice]})).len(), 1, "{choice}");
    }
}

#[test]
fn a_template_that_is_none_is_refused_by_path() {
    let deep = (0..40).fold(json!({}), |inner, _| json!({"type": "array", "items": inner}));
    for (schema, path, says) in [
        (json!([]), "", "an object"),
        (json!({"ip": "string"}), "ip", "object that specifies"),
        (json!({"ip": {"type": "integer"}}), "ip.type", "`number`"),
        (json!({"ip": {"type": "str"}}), "ip.type", "`string`"),
        (json!({"ip": {"type": "colour"}}), "ip.type", "not `colour`"),
        (json!({"ip": {"type": 5}}), "ip.type", "must be"),
        (json!({"ip": {"pattern": "("}}), "ip.pattern", "regular expression"),
        (json!({"ip": {"pattern": 5}}), "ip.pattern", "a string"),
        (json!({"ip": {"length": -1}}), "ip.length", "whole number"),
        (json!({"ip": {"length": 1.5}}), "ip.length", "whole number"),
        (json!({"ip": {"max_length": "5"}}), "ip.max_length", "whole number"),
        (json!({"ip": {"min": "0"}}), "ip.min", "a number"),
        (json!({"ip": {"max": true}}), "ip.max", "a number"),
        (json!({"ip": {"choices": "a"}}), "ip.choices", "a list"),
        (json!({"ip": {"choices": []}}), "ip.choices", "at least one"),
        (json!({"ip": {"choices": [1, {}]}}), "ip.choices.1", "neither a list nor an object"),
        (json!({"ip": {"required": "yes"}}), "ip.required", "true, false"),
        (json!({"required": [1]}), "", "names"),
        (json!({"ip": {"items": []}}), "ip.items", "object that specifies"),
        (json!({"ip": {"properties": []}}), "ip.properties", "a map of fields"),
        (json!({"o": {"properties": {"l": {"items": {"type": "x"}}}}}), "o.properties.l.items.type", "not `x`"),
        (json!({"deep": deep}), "", "nested deeper"),
    ] {
        let error = Schema::parse(&schema).unwrap_err();
        let shown: String = schema.to_string().chars().take(100).collect();
        assert!(error.message().contains(says), "{shown}: {error}");
        assert!(path.is_empty() || error.field() == path, "{shown}: {error}");
    }
}

#[test]
fn attributes_without_effect_are_warned_about() {
    let schema = json!({
        "n": {"type": "number", "pattern": "a", "description": "fine", "required": true},
        "s": {"type": "string", "maxLength": 5, "max_length": 5, "default": "x"},
        "l": {"type": "array", "items": {"type": "boolean", "choices": [true], "min": 1}},
        "b": {"type": "boolean", "required": ["x"]},
    });
    let schema = Schema::parse(&schema).unwrap();
    let mut warnings: Vec<String> = schema.warnings().iter().map(ToString::to_string).collect();
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "`b.required` has no effect on a field of type `boolean`",
            "`l.items.min` has no effect on a field of type `boolean`",
            "`n.pattern` has no effect on a field of type `number`",
            "`s.default` is not an attribute of the template language and has no effect",
            "`s.maxLength` is not an attribute of the template language and has no effect: `length` is",
            "`s.max_length` has no effect on a field of type `string`",
        ]
    );
}

#[test]
fn violations_are_counted_past_the_first_hundred() {
    let schema = x(&json!({"type": "array", "items": {"type": "string"}}));
    let found = Schema::parse(&schema).unwrap().check(&json!({"x": vec![1; 1000]}));
    assert_eq!(found.len(), MAX_VIOLATIONS + 1);
    assert_eq!(found[99].path, "x.99");
    assert_eq!(found[100].clone().within("input_data").to_string(), "`input_data` has 900 more violations");
}

// attack 98
#[test]
fn nothing_of_the_document_is_quoted_but_names_of_members() {
    let secret = "hunter2";
    for (schema, document) in [
        (x(&json!({"type": "number"})), json!({"x": secret})),
        (x(&json!({"pattern": "^a", "length": 1, "choices": ["b"]})), json!({"x": secret})),
        (json!({"type": "number"}), json!(secret)),
        (
            json!({"type": "object", "properties": {"x": {"pattern": "^a", "enum": ["a"], "const": "b", "maxLength": 1}}}),
            json!({"x": secret}),
        ),
        (
            json!({"type": "array", "uniqueItems": true, "contains": false, "items": {"anyOf": [false], "not": {}}}),
            json!([secret, secret]),
        ),
        (json!({"type": "object", "propertyNames": {"maxLength": 1}}), json!({secret: 1})),
    ] {
        let found = violations(&schema, &document);
        assert!(!found.is_empty() && !found.iter().any(|text| text.contains(secret)), "{found:?}");
    }
    let odd = violations(
        &json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
        &json!({"\u{1b}[2J\n": 1}),
    );
    assert!(!odd[0].contains('\n') && !odd[0].contains('\u{1b}'), "{odd:?}");
}

#[test]
fn numbers_that_cannot_be_held_are_a_violation_where_they_matter() {
    let schema = Schema::parse(&x(&json!({"type": "number"}))).unwrap();
    assert_eq!(schema.check_text(r#"{"y": 1e400, "x": 1}"#), []);
    for text in [r#"{"x": 1e400}"#, "{", "{} {}", ""] {
        assert!(schema.check_text(text)[0].message.contains("cannot be checked"), "{text}");
    }
    assert_eq!(schema.check_text(r#"{"x": 123456789012345678901234567890}"#), []);
    let schema = Schema::parse(&json!({"type": "object"})).unwrap();
    assert!(schema.check_text(r#"{"x": 1e400}"#)[0].message.contains("cannot be checked"));
}

// attack 39
#[test]
fn text_is_matched_up_to_a_bound() {
    let long = json!({"x": "a".repeat(300_000)});
    matches(&x(&json!({"pattern": "^a+$"})), std::slice::from_ref(&long));
    let heavy = violations(&x(&json!({"pattern": "^[^b]{1,500}"})), &long);
    assert!(heavy[0].contains("too much text"), "{heavy:?}");
    let json_schema = json!({"type": "string", "pattern": "^(a+)+$"});
    matches(&json_schema, &[json!("a".repeat(100_000))]);
    finds(&json_schema, &json!(format!("{}b", "a".repeat(100_000))), &[" must match the pattern `^(a+)+$`"]);
    assert!(violations(&json_schema, &json!("a".repeat(5 << 20)))[0].contains("too large"));
}

// attack 79
#[test]
fn a_schema_is_bounded() {
    let many: serde_json::Map<_, _> = (0..6000).map(|n| (format!("f{n}"), json!({"type": "any"}))).collect();
    assert!(Schema::parse(&json!(many)).unwrap_err().message().contains("parts"));
    let patterns: serde_json::Map<_, _> = (0..300).map(|n| (format!("f{n}"), json!({"pattern": "a"}))).collect();
    assert!(Schema::parse(&json!(patterns)).unwrap_err().message().contains("pattern"));
    let large = json!({"type": "object", "properties": {"a": {"pattern": "^.{1,500}$"}}});
    assert_eq!(Schema::parse(&large).unwrap().check(&json!({"a": ""})).len(), 1);
    let patterns = json!({"type": "object", "properties": patterns});
    assert!(Schema::parse(&patterns).unwrap_err().message().contains("pattern"));
}

mod json_schemas {
    use super::*;

    #[test]
    fn is_one_by_its_top_level() {
        let is_template = |schema: Value| matches!(Schema::parse(&schema).unwrap().language, Language::Template(_));
        for schema in [
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "minimum": 5}),
            json!({"type": "string"}),
            json!({"type": "object", "properties": {}}),
        ] {
            assert!(!is_template(schema.clone()), "{schema}");
        }
        for schema in [json!({"type": {"type": "string"}}), json!({"properties": {"type": "object"}})] {
            assert!(is_template(schema.clone()), "{schema}");
        }
        finds(&json!({"type": {"type": "string"}}), &json!({"type": 5}), &["type must be a string, not a number"]);
        for anything in [
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema"}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": "t", "description": "d", "$id": "a:b"}),
        ] {
            assert!(Schema::parse(&anything).unwrap().is_anything(), "{anything}");
        }
    }

    #[test]
    fn each_keyword_is_told_in_our_words() {
        for (schema, document, expected) in [
            (json!({"type": "integer"}), json!(1.5), " must be an integer, not such a number"),
            (
                json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": ["string", "null"]}),
                json!(1),
                " must be null or a string, not a number",
            ),
            (json!({"type": "object", "required": ["a"]}), json!({}), "a is required"),
            (
                json!({"type": "object", "additionalProperties": false}),
                json!({"a": 1}),
                " has a field that may not be there",
            ),
            (
                json!({"type": "object", "properties": {"b": {}}, "additionalProperties": false}),
                json!({"a": 1}),
                "a is not a field that may be there",
            ),
            (
                json!({"type": "object", "unevaluatedProperties": false}),
                json!({"a": 1}),
                "a is not a field that may be there",
            ),
            (json!({"type": "array", "items": {"minimum": 1}}), json!([1, 0]), "1 must be at least 1"),
            (json!({"type": "array", "maxItems": 1}), json!([1, 0]), " must have at most 1 elements"),
            (json!({"type": "array", "minItems": 1}), json!([]), " must have at least 1 elements"),
            (json!({"type": "array", "uniqueItems": true}), json!([1, 1]), " must not have two equal elements"),
            (json!({"type": "string", "pattern": "^a"}), json!("b"), " must match the pattern `^a`"),
            (json!({"type": "string", "enum": ["a", "b"]}), json!("c"), " must be one of `a`, `b`"),
            (json!({"type": "string", "const": "a"}), json!("c"), " must be `a`"),
            (json!({"type": "string", "minLength": 2}), json!("c"), " must have at least 2 characters"),
            (json!({"type": "number", "exclusiveMaximum": 2}), json!(2), " must be less than 2"),
            (json!({"type": "number", "multipleOf": 2}), json!(3), " must be a multiple of 2"),
            (
                json!({"type": "number", "anyOf": [{"minimum": 2}, {"maximum": 0}]}),
                json!(1),
                " must match one of the schemas of `anyOf`",
            ),
            (
                json!({"type": "number", "oneOf": [{"minimum": 2}, {"minimum": 1}]}),
                json!(3),
                " must match only one of the schemas of `oneOf`",
            ),
            (json!({"type": "number", "not": {"minimum": 2}}), json!(3), " must not match the schema of `not`"),
            (json!({"type": "object", "properties": {"a": false}}), json!({"a": 1}), "a may not be there"),
        ] {
            finds(&schema, &document, &[expected]);
        }
        let schema =
            json!({"type": "object", "required": ["a", "b"], "properties": {"c": {"items": {"type": "string"}}}});
        let mut found = violations(&schema, &json!({"c": [1, "x", 2]}));
        found.sort();
        assert_eq!(
            found,
            [
                "a is required",
                "b is required",
                "c.0 must be a string, not a number",
                "c.2 must be a string, not a number"
            ]
        );
    }

    #[test]
    fn drafts_are_told_apart_and_formats_say_nothing() {
        let tuple = |draft: &str| {
            let schema = json!({"$schema": draft, "type": "array", "items": [{"type": "string"}]});
            Schema::parse(&schema).map(|schema| schema.check(&json!([1])).len())
        };
        assert_eq!(tuple("http://json-schema.org/draft-07/schema#"), Ok(1));
        assert_eq!(tuple("http://json-schema.org/draft-04/schema"), Ok(1));
        assert!(tuple("https://json-schema.org/draft/2020-12/schema").is_err());
        assert_eq!(tuple("https://example.com/mine").unwrap_err().field(), "$schema");
        for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
            matches(&json!({"$schema": draft, "type": "string", "format": "email"}), &[json!("no email")]);
        }
    }

    // attack 79
    #[test]
    fn what_is_none_is_refused_by_path() {
        for (schema, path) in [
            (json!({"$schema": 5}), "$schema"),
            (json!({"type": "strin"}), "type"),
            (json!({"type": "object", "properties": {"a": {"type": "x"}}}), "properties.a.type"),
            (json!({"type": "object", "properties": {"a": {"minimum": "0"}}}), "properties.a.minimum"),
            (json!({"type": "object", "properties": {"a": {"pattern": "("}}}), "properties.a.pattern"),
            (json!({"type": "object", "properties": {"a": {"pattern": "(?=a)"}}}), "properties.a.pattern"),
            (json!({"type": "object", "properties": {"a": {"pattern": "a{1000}{1000}"}}}), "properties.a.pattern"),
            (json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}}), "properties.a.$ref"),
            (json!({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}), "properties.a.$ref"),
            (json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}), "properties.a.$ref"),
            (json!({"type": "object", "$ref": "#none"}), "$ref"),
            (json!({"type": "object", "$ref": "#"}), ""),
            (json!({"type": "object", "$dynamicRef": "#a"}), "$dynamicRef"),
            (json!({"type": "object", "$defs": {"a": {"$id": "b"}}}), "$id"),
        ] {
            assert_eq!(Schema::parse(&schema).map(drop).unwrap_err().field(), path, "{schema}");
        }
    }

    // attack 79
    #[test]
    fn references_stay_inside_and_may_be_recursive() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/text"}, "b": {"$ref": "#named"}, "tree": {"$ref": "#/$defs/tree"}},
            "$defs": {
                "text": {"type": "string"},
                "n": {"$anchor": "named", "type": "number"},
                "tree": {"type": "object", "properties": {"v": {"$ref": "#named"}, "l": {"$ref": "#/$defs/tree"}, "r": {"$ref": "#/$defs/tree"}}},
            },
        });
        matches(&schema, &[json!({"a": "x", "b": 1, "tree": {"l": {"r": {"v": 1}}}})]);
        let found = violations(&schema, &json!({"a": 1, "b": "x", "tree": {"l": {"r": {"v": "x"}}}}));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.contains(&"tree.l.r.v must be a number, not a string".to_owned()), "{found:?}");
    }

    // attack 79
    /// References that double at each step, at one value or from one level to the next.
    #[test]
    fn a_small_schema_cannot_stand_for_endless_work() {
        let step = |n: usize| json!({"anyOf": [{"$ref": format!("#/$defs/{}", n + 1)}, {"$ref": format!("#/$defs/{}", n + 1)}]});
        let mut defs: serde_json::Map<_, _> = (0..40).map(|n| (n.to_string(), step(n))).collect();
        defs.insert("40".into(), json!({"type": "string"}));
        let doubling = json!({"type": "number", "$ref": "#/$defs/0", "$defs": defs});
        assert!(Schema::parse(&doubling).unwrap_err().message().contains("10000"));

        let branch = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/n"}}, "required": ["x"]});
        let deep =
            json!({"type": "object", "$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [branch, branch, {"const": 5}]}}});
        let document = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "x": inner }));
        finds(&deep, &document(3), &[" must match one of the schemas of `anyOf`"]);
        finds(&deep, &document(120), &[" does not match the schema; it is too large to say where"]);
    }

    #[test]
    fn a_usual_recursive_schema_is_told_in_detail_at_any_depth() {
        let schema = json!({"type": "object", "$ref": "#/$defs/v", "$defs": {"v": {"anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": "#/$defs/v"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/v"}},
        ]}}});
        let document =
            (0..100).fold(json!("x"), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({"a": inner}) });
        matches(&schema, &[document]);
        let document =
            (0..100).fold(json!(1), |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({"a": inner}) });
        finds(&schema, &document, &[" must match one of the schemas of `anyOf`"]);
    }
}

mod records {
    use super::*;

    const SEED: &str = include_str!("../../../../tests/data/seed/policy.json");

    fn parse(record: &Value) -> Result<(Schemas, Vec<String>), FieldError> {
        Schemas::parse(record.as_object().unwrap())
    }

    fn seed() -> Value {
        serde_json::from_str(SEED).unwrap()
    }

    fn shown(violations: &[Violation]) -> Vec<String> {
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_seeds_record_is_checked() {
        let (schemas, warnings) = parse(&seed()).unwrap();
        assert_eq!((schemas.mode(), warnings), (SchemaMode::Warn, vec![]));
        let local = r#"{"local_allowlist": ["10.0.0.1"]}"#;
        assert_eq!(schemas.question(r#"{"ip": "10.0.0.1"}"#, Some(local)), []);
        assert_eq!(schemas.answer(r#"{"allowed": true, "input_data": {"ip": 5}, "reason": "x"}"#), []);
        let pattern = r"must match the pattern `^\d{1,3}(\.\d{1,3}){3}$`";
        assert_eq!(
            shown(&schemas.question(r#"{"ip": "not an ip"}"#, Some(r#"{"local_allowlist": ["10.0.0.1", "x"]}"#))),
            [format!("`input_data.ip` {pattern}"), format!("`parameters.local_allowlist.1` {pattern}")]
        );
        assert_eq!(
            shown(&schemas.answer(r#"{"allowed": 1}"#)),
            ["`output.allowed` must be true or false, not a number"]
        );
        assert_eq!(shown(&schemas.answer("5")), ["`output` must be an object, not a number"]);
        assert_eq!(
            shown(&schemas.command("update_local_allowlist", r#"{"ips": ["x"]}"#)),
            [format!("`mgmt_data.ips.0` {pattern}")]
        );
        for (action, data) in [("update_local_allowlist", "{}"), ("get_state", "5"), ("no_such_command", "5")] {
            assert_eq!(schemas.command(action, data), [], "{action}");
        }
        assert_eq!(
            shown(&schemas.settings(r#"{"allowlist_api": "ftp://x"}"#)),
            ["`settings.allowlist_api` must match the pattern `^https?://.*`"]
        );
    }

    /// A record whose schemas, settings and parameters are all wrong.
    fn wrong(mode: &str) -> Value {
        let mut record = seed();
        record["schema_mode"] = json!(mode);
        record["policy_output_schema"] = json!({"allowed": {"type": "bool"}});
        record["policy_settings"]["allowlist_api"] = json!("ftp://x");
        record["policy_parameters"]["local_allowlist"] = json!(["a", "b"]);
        record
    }

    #[test]
    fn the_mode_says_what_is_refused() {
        let (_, warnings) = parse(&wrong("off")).unwrap();
        assert_eq!(warnings, [""; 0]);

        let (schemas, warnings) = parse(&wrong("warn")).unwrap();
        assert_eq!(warnings.len(), 4, "{warnings:?}");
        assert!(warnings[0].starts_with("`policy_output_schema.allowed.type` must be"), "{warnings:?}");
        assert!(warnings[1].starts_with("`policy_settings.allowlist_api` must match"), "{warnings:?}");
        assert!(warnings[3].starts_with("`policy_parameters.local_allowlist.1` must match"), "{warnings:?}");
        assert_eq!(schemas.answer("5"), [], "a schema that is none checks nothing");

        assert_eq!(parse(&wrong("enforce")).unwrap_err().field(), "policy_output_schema.allowed.type");
        let mut record = wrong("enforce");
        record["policy_output_schema"] = json!({});
        assert_eq!(parse(&record).unwrap_err().field(), "policy_settings.allowlist_api");
        record["policy_settings"] = json!({});
        let error = parse(&record).unwrap_err();
        assert_eq!(error.field(), "policy_parameters.local_allowlist.0");
        assert!(error.message().contains("`policy_parameters.local_allowlist.1` must match"), "{error}");
        record["policy_parameters"] = json!({});
        assert_eq!(parse(&record).unwrap().0.mode(), SchemaMode::Enforce);
        assert_eq!(parse(&wrong("strict")).unwrap_err().field(), "schema_mode");
    }

    #[test]
    fn a_list_of_commands_is_refused_by_path() {
        let command = |schema: Value| json!({"name": "c", "description": "d", "schema": schema});
        for (list, path) in [
            (json!({}), ""),
            (json!(["c"]), "0"),
            (json!([{"schema": {}}]), "0.name"),
            (json!([command(json!({})), {"name": "d", "schema": {"a": {"type": "x"}}}]), "1.schema.a.type"),
            (json!([command(json!({})), command(json!({}))]), "1.name"),
            (json!([{"name": "c", "schema": []}]), "0.schema"),
        ] {
            assert_eq!(ManagementSchemas::parse(&list).unwrap_err().field(), path, "{list}");
        }
        let schemas =
            ManagementSchemas::parse(&json!([command(json!({"a": {"type": "string"}})), {"name": "bare"}])).unwrap();
        assert_eq!(schemas.check("c", &json!({"a": 1})).len(), 1);
        assert!(schemas.check("bare", &json!(5)).is_empty() && schemas.check("unlisted", &json!(5)).is_empty());
    }

    // attack 79
    #[test]
    fn all_schemas_of_a_record_share_one_budget() {
        let patterns: serde_json::Map<_, _> = (0..200).map(|n| (format!("f{n}"), json!({"pattern": "a"}))).collect();
        let mut record = json!({"schema_mode": "enforce", "policy_input_schema": patterns});
        assert!(parse(&record).is_ok());
        record["policy_output_schema"] = record["policy_input_schema"].clone();
        assert!(parse(&record).unwrap_err().field().starts_with("policy_output_schema"));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c.]{0,3}".prop_map(Value::from),
        proptest::sample::select(vec!["string", "number", "object", "array", "any", "(", "^a+$", "#", "#/$defs/a"])
            .prop_map(Value::from),
    ];
    let name = proptest::sample::select(vec![
        "a",
        "b",
        "type",
        "pattern",
        "length",
        "min",
        "max",
        "choices",
        "max_length",
        "items",
        "properties",
        "required",
        "$schema",
        "$ref",
        "$defs",
        "anyOf",
        "allOf",
        "not",
        "additionalProperties",
        "enum",
        "const",
        "minimum",
        "$anchor",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    // attack 79
    #[test]
    fn parsing_and_checking_never_panic(schema in any_json(), document in any_json(), text in ".{0,20}") {
        if let Ok(schema) = Schema::parse(&schema) {
            prop_assert_eq!(schema.check(&document), schema.check_text(&document.to_string()));
            schema.check_text(&text);
        }
        let _ = ManagementSchemas::parse(&schema);
    }

    #[test]
    fn a_pattern_never_panics(pattern in "[\\\\()\\[\\]{}?*+.^$|a-c0-9dwsDWSbpPLk=!<>:-]{0,12}", text in ".{0,12}") {
        if let Ok(schema) = Schema::parse(&json!({"x": {"pattern": pattern}})) {
            schema.check(&json!({"x": text}));
        }
    }
}
