use serde_json::Value;

use super::{Component, Guest};

/// Without the SDK there is no runner of fixtures either; this one knows what this example needs.
#[test]
fn answers_as_its_fixtures_say() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../expected.json")).unwrap();
    for case in cases {
        let settings = case.get("settings").map_or("{}".to_owned(), Value::to_string);
        let init = Component::init("test".to_owned(), settings, "{}".to_owned());
        let answer = init.and_then(|()| match case.get("management") {
            Some(command) => Component::management(command["action"].as_str().unwrap().to_owned(), "{}".to_owned()),
            None => Component::eval(None, case["input"].to_string(), "{}".to_owned()),
        });
        match answer {
            Ok(text) => assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), case["expect"], "{}", case["name"]),
            Err(failure) => assert_eq!(failure.code, case["expect_failure"]["code"], "{}", case["name"]),
        }
    }
}
