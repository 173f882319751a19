//! A management command for a function.

use serde_json::{Map, Value};

use crate::{
    document::{object, text},
    field::{FieldError, shorten},
};

/// Bytes of an action's name.
const MAX_ACTION: usize = 1024;
const FIELDS: [&str; 3] = ["mgmt_action", "mgmt_data", "replica"];

/// What is asked of the replicas of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Manage {
    /// Which command.
    pub action: String,
    /// What it brings, as JSON text.
    pub data: String,
    /// The one replica that it is for, if not for all.
    pub replica: Option<u32>,
}

impl Manage {
    /// Reads the body of a management command.
    pub fn parse(body: Value) -> Result<Self, FieldError> {
        let mut body = object(body, "a management command")?;
        if let Some(name) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let why = format!("is no field of a management command: there are {}", FIELDS.join(", "));
            return Err(FieldError::new(shorten(name, 60), why));
        }
        let action = text(&body, "mgmt_action")?.to_owned();
        if MAX_ACTION < action.len() {
            return Err(FieldError::new("mgmt_action", format!("must be at most {MAX_ACTION} bytes long")));
        }
        let data = body.shift_remove("mgmt_data").unwrap_or_else(|| Value::Object(Map::new())).to_string();
        let replica = match body.get("replica") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let n = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| 1 <= *n);
                Some(n.ok_or_else(|| FieldError::new("replica", "must be the number of a replica, from 1 on"))?)
            }
        };
        Ok(Self { action, data, replica })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_has_an_action_and_may_have_data() {
        let manage = Manage::parse(json!({"mgmt_action": "get"})).unwrap();
        assert_eq!(manage, Manage { action: "get".into(), data: "{}".into(), replica: None });
        let manage = Manage::parse(json!({"mgmt_action": "set", "mgmt_data": null, "replica": 2})).unwrap();
        assert_eq!((manage.data.as_str(), manage.replica), ("null", Some(2)));
        for (field, body) in [
            ("mgmt_action", json!({})),
            ("mgmt_action", json!({"mgmt_action": ""})),
            ("mgmt_action", json!({"mgmt_action": 5})),
            ("mgmt_action", json!({"mgmt_action": "x".repeat(2000)})),
            ("replica", json!({"mgmt_action": "a", "replica": 0})),
            ("replica", json!({"mgmt_action": "a", "replica": "1"})),
            ("data", json!({"mgmt_action": "a", "data": 1})),
        ] {
            assert_eq!(Manage::parse(body).unwrap_err().field(), field);
        }
    }
}
