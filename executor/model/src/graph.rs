//! The graph record: policies deployed as functions, and which of them hands its output to which.
//!
//! Its edges must make sense (`plan`): no cycle, and one end. Whether its functions are there is not seen here: a graph
//! may be registered before they are.

mod plan;

use serde_json::{Value, json};

pub use self::plan::{MAX_EDGES, MAX_NODES, Node, Plan, named};

use crate::{
    document::{Entry, Field, Shape, complete, object, required, text, unknown},
    field::{FieldError, shorten},
    id::GraphUri,
    schema::Schemas,
};

/// Every field of the original; its service and its document demand them all.
const FIELDS: [Field; 10] = [
    required("graph_name", Shape::Text),
    required("graph_version", Shape::Text),
    required("graph_release_tag", Shape::Text),
    required("graph_function_ids", Shape::Texts),
    required("graph_connection_data", Shape::Object),
    required("graph_metadata", Shape::Any),
    required("graph_search_tags", Shape::TextOrList),
    required("graph_description", Shape::Text),
    required("graph_input_schema", Shape::Object),
    required("graph_output_schema", Shape::Object),
];

/// Fields of ours that a graph may have.
const OURS: [&str; 1] = ["schema_mode"];

/// Fields that are computed: read back by a client and sent again, they are ignored.
const COMPUTED: [&str; 2] = ["graph_uri", "_id"];

/// Reads a graph as it was posted.
pub fn parse(body: Value) -> Result<Entry, FieldError> {
    let mut document = object(body, "a graph")?;
    for name in COMPUTED {
        document.shift_remove(name);
    }
    let known = |name: &str| FIELDS.iter().any(|field| field.name == name) || OURS.contains(&name);
    let mut warnings = unknown(&document, known);
    complete(&mut document, &FIELDS)?;
    for (parent, children) in document.get("graph_connection_data").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("graph_connection_data.{}", shorten(parent, 60));
        Shape::Texts.check(&path, children)?;
    }
    warnings.extend(Plan::parse(&document)?.1);
    warnings.extend(Schemas::of_graph(&document)?.1);
    let uri = GraphUri::of(
        text(&document, "graph_name")?,
        text(&document, "graph_version")?,
        text(&document, "graph_release_tag")?,
    )?;
    document.insert("graph_uri".into(), json!(uri.as_str()));
    Ok(Entry { id: uri.as_str().into(), document, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diamond() -> Value {
        json!({
            "graph_name": "risk", "graph_version": "1.0", "graph_release_tag": "stable", "graph_metadata": {"a": 1},
            "graph_function_ids": ["a", "b", "c", "d"],
            "graph_connection_data": {"a": ["b", "c"], "b": ["d"], "c": ["d"]},
            "graph_search_tags": ["ip"], "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
        })
    }

    #[test]
    fn a_graph_gets_its_uri_and_reads_as_itself() {
        let entry = parse(diamond()).unwrap();
        assert_eq!((entry.id.as_str(), entry.warnings.len()), ("risk:1.0-stable", 0));
        assert_eq!(entry.document["graph_uri"], "risk:1.0-stable");
        let mut again = entry.document.clone();
        again.insert("graph_uri".into(), json!("other:1-x"));
        assert_eq!(parse(Value::Object(again)).unwrap(), entry);
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (field, value) in [
            ("graph_name", json!("a/b")),
            ("graph_name", json!("")),
            ("graph_version", json!(1.0)),
            ("graph_release_tag", json!("..")),
            ("graph_function_ids", json!({})),
            ("graph_function_ids", json!([1])),
            ("graph_connection_data", json!([])),
            ("graph_search_tags", json!({})),
            ("graph_description", json!(null)),
            ("graph_input_schema", json!("{}")),
            ("graph_output_schema", json!([])),
            ("schema_mode", json!("strict")),
            ("graph_connection_data", json!({"d": ["a"], "a": ["d"]})),
            ("graph_connection_data", json!({"a": ["b"], "c": ["d"]})),
            ("graph_function_ids", json!(["a", "b", "c", "d", "a"])),
        ] {
            let mut body = diamond();
            body[field] = value.clone();
            assert_eq!(parse(body).unwrap_err().field(), field, "{value}");
        }
        for children in [json!("b"), json!({}), json!([["b"]])] {
            let mut body = diamond();
            body["graph_connection_data"]["b"] = children.clone();
            assert_eq!(parse(body).unwrap_err().field(), "graph_connection_data.b", "{children}");
        }
        for field in FIELDS {
            let mut body = diamond();
            body.as_object_mut().unwrap().remove(field.name);
            assert_eq!(parse(body).unwrap_err().to_string(), format!("`{}` is required", field.name));
        }
        assert!(parse(json!([])).is_err());
    }

    #[test]
    fn its_schemas_are_taken_as_its_mode_says() {
        let wrong = json!({"ip": {"type": "address"}});
        for (mode, warnings) in [("off", Some(0)), ("warn", Some(1)), ("enforce", None)] {
            let mut body = diamond();
            body["schema_mode"] = json!(mode);
            body["graph_input_schema"] = wrong.clone();
            match (parse(body), warnings) {
                (Ok(entry), Some(n)) => assert_eq!(entry.warnings.len(), n, "{mode} {:?}", entry.warnings),
                (Err(error), None) => assert!(error.field().starts_with("graph_input_schema"), "{error}"),
                (parsed, _) => panic!("{mode}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_known_is_kept_and_named() {
        let mut body = diamond();
        body["colour"] = json!("red");
        body["graph_metadata"] = json!("author: A");
        let entry = parse(body).unwrap();
        assert_eq!(entry.warnings, ["unknown field `colour` is kept and not used"]);
        assert_eq!(
            (&entry.document["colour"], &entry.document["graph_metadata"]),
            (&json!("red"), &json!("author: A"))
        );
    }
}
