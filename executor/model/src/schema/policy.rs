//! The five schemas of a policy record, or the two of a graph's, and how strictly they are taken.

use serde_json::{Map, Value, json};

use super::{Schema, Violation, budget::Budget};
use crate::field::{FieldError, shorten};

/// Warnings that one schema gives at most.
const MAX_WARNINGS: usize = 20;

/// What becomes of a document that does not match: a record's `schema_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaMode {
    /// Nothing is checked, not even the schemas.
    Off,
    /// It is used, with a warning. The default, since the original checks nothing and its clients rely on it.
    #[default]
    Warn,
    /// It is refused.
    Enforce,
}

impl SchemaMode {
    fn parse(value: &Value) -> Result<Self, FieldError> {
        match value.as_str() {
            Some("off") => Ok(Self::Off),
            Some("warn") => Ok(Self::Warn),
            Some("enforce") => Ok(Self::Enforce),
            _ => Err(FieldError::new("schema_mode", "must be `off`, `warn` or `enforce`")),
        }
    }
}

/// The members of a record that are schemas, or say how strictly they are taken.
const MEMBERS: [&str; 6] = [
    "schema_mode",
    "policy_input_schema",
    "policy_output_schema",
    "policy_settings_schema",
    "policy_parameters_schema",
    "management_commands_schema",
];

/// The schemas of one policy. One that is empty, or with which nothing can be checked, is not there.
#[derive(Debug, Default)]
pub struct Schemas {
    mode: SchemaMode,
    input: Option<Schema>,
    output: Option<Schema>,
    settings: Option<Schema>,
    parameters: Option<Schema>,
    management: ManagementSchemas,
}

/// The schemas of a policy's management commands.
///
/// The list documents the commands that there are, as in the original, so a command that it does not name is none the
/// less allowed: the policy decides.
#[derive(Debug, Default)]
pub struct ManagementSchemas {
    commands: Vec<(Box<str>, Schema)>,
}

impl Schemas {
    /// Reads the schemas of a record and checks its settings and parameters. Returns what its author should know.
    ///
    /// A schema that is none, and settings or parameters that do not match, are errors under `enforce`; otherwise they
    /// are warnings, and nothing is checked against such a schema.
    pub fn parse(document: &Map<String, Value>) -> Result<(Self, Vec<String>), FieldError> {
        let mode = document.get("schema_mode").map(SchemaMode::parse).transpose()?.unwrap_or_default();
        let mut reader = Reader { document, mode, budget: Budget::default(), warnings: Vec::new() };
        if mode == SchemaMode::Off {
            return Ok((Self { mode, ..Self::default() }, reader.warnings));
        }
        let res = Self {
            mode,
            input: reader.schema("policy_input_schema")?,
            output: reader.schema("policy_output_schema")?,
            settings: reader.schema("policy_settings_schema")?,
            parameters: reader.schema("policy_parameters_schema")?,
            management: reader.management()?,
        };
        reader.stored("policy_settings", res.settings.as_ref())?;
        reader.stored("policy_parameters", res.parameters.as_ref())?;
        Ok((res, reader.warnings))
    }

    /// What [`Schemas::parse`] reads of a record, but for the settings and parameters.
    pub fn members(document: &Map<String, Value>) -> Map<String, Value> {
        let member = |name: &&str| Some(((*name).to_owned(), document.get(*name)?.clone()));
        MEMBERS.iter().filter_map(member).collect()
    }

    /// The same for a graph, whose record has a schema for what it is given and one for what it answers.
    pub fn of_graph(document: &Map<String, Value>) -> Result<(Self, Vec<String>), FieldError> {
        let mode = document.get("schema_mode").map(SchemaMode::parse).transpose()?.unwrap_or_default();
        let mut reader = Reader { document, mode, budget: Budget::default(), warnings: Vec::new() };
        if mode == SchemaMode::Off {
            return Ok((Self { mode, ..Self::default() }, reader.warnings));
        }
        let (input, output) = (reader.schema("graph_input_schema")?, reader.schema("graph_output_schema")?);
        Ok((Self { mode, input, output, ..Self::default() }, reader.warnings))
    }

    /// Whether nothing is ever checked against them.
    pub fn is_empty(&self) -> bool {
        let Self { mode: _, input, output, settings, parameters, management } = self;
        input.is_none()
            && output.is_none()
            && settings.is_none()
            && parameters.is_none()
            && management.commands.iter().all(|(_, schema)| schema.is_anything())
    }

    /// How strictly they are taken.
    pub fn mode(&self) -> SchemaMode {
        self.mode
    }

    /// What is wrong with what an evaluation brings: the input, and parameters if it brings some.
    pub fn question(&self, input: &str, parameters: Option<&str>) -> Vec<Violation> {
        let mut res = checked(self.input.as_ref(), input, "input_data");
        if let Some(parameters) = parameters {
            res.extend(self.parameters(parameters));
        }
        res
    }

    /// What is wrong with the answer of an evaluation.
    pub fn answer(&self, output: &str) -> Vec<Violation> {
        checked(self.output.as_ref(), output, "output")
    }

    /// What is wrong with what a management command brings.
    pub fn command(&self, action: &str, data: &str) -> Vec<Violation> {
        checked(self.management.of(action), data, "mgmt_data")
    }

    /// What is wrong with settings that are used instead of the stored ones.
    pub fn settings(&self, settings: &str) -> Vec<Violation> {
        checked(self.settings.as_ref(), settings, "settings")
    }

    /// What is wrong with parameters that are used instead of the stored ones.
    pub fn parameters(&self, parameters: &str) -> Vec<Violation> {
        checked(self.parameters.as_ref(), parameters, "parameters")
    }
}

fn checked(schema: Option<&Schema>, text: &str, what: &str) -> Vec<Violation> {
    // PERF: an empty list allocates nothing, so a document that matches costs only the check.
    let Some(schema) = schema else { return Vec::new() };
    schema.check_text(text).into_iter().map(|violation| violation.within(what)).collect()
}

impl ManagementSchemas {
    /// Reads a `management_commands_schema`: a list of `{name, description, schema}`.
    pub fn parse(value: &Value) -> Result<Self, FieldError> {
        Ok(Self::parse_within(value, &mut Budget::default())?.0)
    }

    fn parse_within(value: &Value, budget: &mut Budget) -> Result<(Self, Vec<FieldError>), FieldError> {
        let list = value.as_array().ok_or_else(|| FieldError::new("", "must be a list of commands"))?;
        let (mut commands, mut warnings) = (Vec::new(), Vec::new());
        for (idx, command) in list.iter().enumerate() {
            let (name, schema) = Self::command(command, budget).map_err(|error| error.within(&idx.to_string()))?;
            if commands.iter().any(|(known, _): &(Box<str>, Schema)| **known == *name) {
                let why = format!("is the second command of the name `{}`", shorten(name, 60));
                return Err(FieldError::new(format!("{idx}.name"), why));
            }
            let at = format!("{idx}.schema");
            warnings.extend(schema.warnings().iter().map(|warning| warning.clone().within(&at)));
            commands.push((name.into(), schema));
        }
        Ok((Self { commands }, warnings))
    }

    fn command<'v>(command: &'v Value, budget: &mut Budget) -> Result<(&'v str, Schema), FieldError> {
        let command = command.as_object();
        let command = command.ok_or_else(|| FieldError::new("", "must be an object with `name` and `schema`"))?;
        let name = command.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| FieldError::new("name", "must be a string"))?;
        let nothing = json!({});
        let schema = command.get("schema").filter(|schema| !schema.is_null()).unwrap_or(&nothing);
        Ok((name, Schema::parse_within(schema, budget).map_err(|error| error.within("schema"))?))
    }

    /// What is wrong with the data of a command. A command that is not listed may have any.
    pub fn check(&self, action: &str, data: &Value) -> Vec<Violation> {
        self.of(action).map_or_else(Vec::new, |schema| schema.check(data))
    }

    fn of(&self, action: &str) -> Option<&Schema> {
        self.commands.iter().find(|(name, _)| **name == *action).map(|(_, schema)| schema)
    }
}

/// Reads the schemas of one record.
struct Reader<'a> {
    document: &'a Map<String, Value>,
    mode: SchemaMode,
    budget: Budget,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn schema(&mut self, field: &str) -> Result<Option<Schema>, FieldError> {
        let Some(value) = self.document.get(field) else { return Ok(None) };
        let parsed = Schema::parse_within(value, &mut self.budget);
        let Some(schema) = self.or_warned(parsed, field)? else { return Ok(None) };
        self.warn(schema.warnings().to_vec(), field);
        Ok(Some(schema).filter(|schema| !schema.is_anything()))
    }

    fn management(&mut self) -> Result<ManagementSchemas, FieldError> {
        let field = "management_commands_schema";
        let Some(value) = self.document.get(field) else { return Ok(ManagementSchemas::default()) };
        let parsed = ManagementSchemas::parse_within(value, &mut self.budget);
        let Some((schemas, warnings)) = self.or_warned(parsed, field)? else { return Ok(ManagementSchemas::default()) };
        self.warn(warnings, field);
        Ok(schemas)
    }

    /// A schema that is none is refused or passed over, as the mode has it.
    fn or_warned<T>(&mut self, parsed: Result<T, FieldError>, field: &str) -> Result<Option<T>, FieldError> {
        match parsed.map_err(|error| error.within(field)) {
            Ok(schema) => Ok(Some(schema)),
            Err(error) if self.mode == SchemaMode::Enforce => Err(error),
            Err(error) => {
                self.warnings.push(format!("{error}; nothing is checked against `{field}`"));
                Ok(None)
            }
        }
    }

    fn warn(&mut self, warnings: Vec<FieldError>, field: &str) {
        let n = warnings.len();
        let shown = warnings.into_iter().take(MAX_WARNINGS).map(|warning| warning.within(field).to_string());
        self.warnings.extend(shown);
        if let n @ 1.. = n.saturating_sub(MAX_WARNINGS) {
            self.warnings.push(format!("`{field}` has {n} more things without effect"));
        }
    }

    /// Checks a document that is stored in the record itself.
    fn stored(&mut self, field: &str, schema: Option<&Schema>) -> Result<(), FieldError> {
        let (Some(schema), Some(document)) = (schema, self.document.get(field)) else { return Ok(()) };
        let violations: Vec<_> = schema.check(document).into_iter().map(|violation| violation.within(field)).collect();
        if self.mode == SchemaMode::Enforce {
            return refuse(violations);
        }
        self.warnings.extend(violations.iter().map(Violation::to_string));
        Ok(())
    }
}

/// All violations as one error about the first of the fields.
fn refuse(violations: Vec<Violation>) -> Result<(), FieldError> {
    let mut violations = violations.into_iter();
    let Some(Violation { path, mut message }) = violations.next() else { return Ok(()) };
    for violation in violations {
        message.push_str("; ");
        message.push_str(&violation.to_string());
    }
    Err(FieldError::new(path, message))
}
