//! Turns a short specification into a full one, by a template.
//!
//! A template says what its specification must look like (`schema`, in the field language of AIOS templates) and what
//! becomes of it (`template`, any JSON with `${field}` in it). One without `template` only checks and fills in
//! defaults.

mod fields;
mod substitute;

use lictor_policy::{Context, Failure, Policy, Schema, export};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use fields::{Fields, Problem};

/// An instance.
pub struct TemplateParser {
    settings: Settings,
    parameters: Parameters,
}

/// The settings of the policy.
#[derive(Default, Deserialize, Schema)]
#[serde(default)]
pub struct Settings {
    /// Whether to refuse fields that the template does not name.
    deny_unknown_fields: bool,
}

/// The parameters of the policy, stored or brought by a call.
#[derive(Default, Deserialize, Schema)]
#[serde(default)]
pub struct Parameters {
    /// Values for fields that a specification leaves out. They win over the template's own defaults.
    #[schema(as = std::collections::BTreeMap<String, Value>)]
    defaults: Map<String, Value>,
}

/// What is converted.
#[derive(Deserialize, Schema)]
pub struct Input {
    /// The template, as an object or as the text of one.
    template_data: Value,
    /// The specification.
    #[schema(as = std::collections::BTreeMap<String, Value>)]
    spec: Map<String, Value>,
}

impl Policy for TemplateParser {
    type Settings = Settings;
    type Parameters = Parameters;
    type Input = Input;
    type Output = Value;

    fn new(_rule_id: &str, settings: Settings, parameters: Parameters) -> Result<Self, Failure> {
        Ok(Self { settings, parameters })
    }

    fn eval(&mut self, parameters: Option<Parameters>, input: Input, _: &mut Context) -> Result<Value, Failure> {
        let parameters = parameters.as_ref().unwrap_or(&self.parameters);
        let template = Template::parse(input.template_data)?;
        let mut spec = input.spec;
        for (name, value) in &parameters.defaults {
            spec.entry(name.clone()).or_insert_with(|| value.clone());
        }
        template.fields.fill_in(&mut spec);
        let problems = template.fields.check(&spec, self.settings.deny_unknown_fields);
        if !problems.is_empty() {
            return Err(invalid_spec(&problems));
        }
        match template.body {
            Some(body) => substitute::substitute(body, &spec),
            None => Ok(Value::Object(spec)),
        }
    }
}

struct Template {
    fields: Fields,
    body: Option<Value>,
}

impl Template {
    fn parse(data: Value) -> Result<Self, Failure> {
        let data = match data {
            Value::String(text) => serde_json::from_str(&text).map_err(invalid_template)?,
            other => other,
        };
        let Value::Object(mut members) = data else { return Err(invalid_template("expected an object")) };
        let body = members.remove("template");
        // Without a body, all of it is the description of the fields.
        let fields = match (members.remove("schema"), &body) {
            (Some(schema), Some(_)) => schema,
            (None, Some(_)) => json!({}),
            (Some(schema), None) => {
                members.insert("schema".to_owned(), schema);
                Value::Object(members)
            }
            (None, None) => Value::Object(members),
        };
        Ok(Self { fields: Fields::deserialize(fields).map_err(invalid_template)?, body })
    }
}

fn invalid_template(why: impl std::fmt::Display) -> Failure {
    Failure::new("invalid_template", why.to_string())
}

fn invalid_spec(problems: &[Problem]) -> Failure {
    let text: Vec<_> = problems.iter().map(|problem| format!("`{}` {}", problem.field, problem.what)).collect();
    let details: Vec<_> =
        problems.iter().map(|problem| json!({ "field": problem.field, "problem": problem.what })).collect();
    Failure::new("invalid_spec", text.join("; ")).with_details(Value::Array(details))
}

export!(TemplateParser);

#[cfg(test)]
mod tests {
    use lictor_policy::testing::{Harness, run_fixtures};
    use serde_json::json;

    use super::TemplateParser;

    #[test]
    fn answers_as_its_fixtures_say() {
        run_fixtures::<TemplateParser>(include_str!("../expected.json"));
    }

    #[test]
    fn names_every_problem_with_its_field() {
        let policy = Harness::<TemplateParser>::new(&json!({}), &json!({})).unwrap();
        let template = json!({ "n": { "type": "number", "max": 3 }, "who": { "type": "string", "required": true } });
        let failure = policy.eval(&json!({ "template_data": template, "spec": { "n": 4 } })).unwrap_err();
        assert_eq!(
            failure.details,
            Some(json!([
                { "field": "n", "problem": "is above 3" },
                { "field": "who", "problem": "is missing" },
            ]))
        );
    }
}
