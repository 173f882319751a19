//! An example for each body: the requests that the seed document prints.

use serde_json::{Map, Value};

macro_rules! seed {
    ($name:literal) => {
        include_str!(concat!("../../../../../tests/data/seed/", $name, ".json"))
    };
}

/// Operations and the body that each is shown with.
const EXAMPLES: [(&str, &str); 18] = [
    ("create_policy", seed!("policy")),
    ("update_policy", seed!("update_policy")),
    ("query_policies", seed!("query_policies")),
    ("execute_policy", seed!("execute_policy")),
    ("execute_here", seed!("execute_policy")),
    ("create_executor", seed!("executor")),
    ("update_executor", seed!("update_executor")),
    ("query_executors", seed!("query_executors")),
    ("create_graph", seed!("graph")),
    ("update_graph", seed!("update_graph")),
    ("query_graphs", seed!("query_graphs")),
    ("execute_graph", seed!("execute_graph")),
    ("create_function", seed!("create_function")),
    ("call_function", seed!("call_function")),
    ("query_functions", seed!("query_functions")),
    ("query_jobs", seed!("query_jobs")),
    ("create_asset", seed!("asset_metadata")),
    ("remove_infra", seed!("remove_infra")),
];

/// Shows every body that there is an example of with it.
pub(super) fn complete(document: &mut Value) -> serde_json::Result<()> {
    let items = document.pointer_mut("/paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    for operation in items.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let example = EXAMPLES.iter().find(|(id, _)| operation.get("operationId").is_some_and(|it| it == id));
        let content = operation.pointer_mut("/requestBody/content/application~1json").and_then(Value::as_object_mut);
        if let (Some((_, example)), Some(content)) = (example, content) {
            content.insert("example".into(), serde_json::from_str(example)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_shown() {
        let document = super::super::document().unwrap().to_string();
        for (operation, example) in EXAMPLES {
            let example: Value = serde_json::from_str(example).unwrap();
            assert!(document.contains(&format!("\"example\":{example}")), "{operation}");
        }
    }
}
