//! The template language of the original: a map of fields, each with a specification.
//!
//! | attribute | of a value that is | says |
//! |---|---|---|
//! | `type` | any | `string`, `number`, `boolean`, `array`, `object`, or `any`, which is also what no `type` means |
//! | `description` | any | for people |
//! | `required` | any | `true`: it must be there; a list, of an object: the fields of it that must be |
//! | `choices` | any but a list or an object | the values there are; of an array: of each element |
//! | `pattern` | a string | a regular expression that must be somewhere in it |
//! | `length` | a string | its most characters |
//! | `min`, `max` | a number | its bounds, inclusive |
//! | `max_length` | a list | its most elements |
//! | `items` | a list | the specification of each element |
//! | `properties` | an object | the specifications of its fields |
//!
//! Fields are optional unless required, and fields that are not named are allowed. `true` is not a number, and `null` is
//! a value like others, of no type but `any`. An attribute that is `null` is not there. One that is unknown, or can have
//! no effect on the type, is a warning; a type that is unknown is an error.

mod choices;
mod fields;
mod number;

use serde_json::{Map, Value};

pub(super) use self::{
    choices::{Choices, shown},
    fields::{Field, Fields},
    number::Number,
};
use super::{
    budget::Budget,
    check,
    pattern::Pattern,
    violation::{Found, Violation},
};
use crate::field::{FieldError, shorten};

/// Levels of specifications inside each other.
const MAX_DEPTH: usize = 32;

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    root: Node,
}

/// What a value must look like. Rules for another kind of value than this one is have no say.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) choices: Option<Choices>,
    pub(super) pattern: Option<Pattern>,
    pub(super) max_chars: Option<usize>,
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
    pub(super) max_elements: Option<usize>,
    pub(super) items: Option<Box<Node>>,
    pub(super) fields: Fields,
}

/// The kinds of values that a `type` can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Any,
    String,
    Number,
    Boolean,
    Array,
    Object,
}

impl Template {
    /// Reads the map of fields at the top of a schema, and says what in it has no effect.
    pub(super) fn parse(
        members: &Map<String, Value>,
        budget: &mut Budget,
    ) -> Result<(Self, Vec<FieldError>), FieldError> {
        let mut parser = Parser { budget, warnings: Vec::new(), depth: 0 };
        // A list cannot specify a field, so this one can only say which fields are required.
        let (required, named): (Vec<_>, Vec<_>) =
            members.iter().partition(|(name, value)| *name == "required" && value.is_array());
        let required = required.first().map(|(_, names)| names_in(names)).transpose()?.unwrap_or_default();
        let fields = parser.fields(named.into_iter(), &required)?;
        let root = Node { kind: Kind::Object, fields, ..Node::default() };
        Ok((Self { root }, parser.warnings))
    }

    pub(super) fn check(&self, document: &Value) -> Vec<Violation> {
        let mut found = Found::default();
        check::value(&self.root, document, &mut found);
        found.into_list()
    }

    pub(super) fn check_text(&self, text: &str) -> Vec<Violation> {
        let mut found = Found::default();
        check::text(&self.root, text, &mut found);
        found.into_list()
    }
}

struct Parser<'a> {
    budget: &'a mut Budget,
    warnings: Vec<FieldError>,
    depth: usize,
}

impl Parser<'_> {
    fn fields<'v>(
        &mut self,
        specs: impl Iterator<Item = (&'v String, &'v Value)>,
        required: &[&str],
    ) -> Result<Fields, FieldError> {
        let mut sorted = Vec::new();
        for (name, spec) in specs {
            let (node, itself) = self.within(name, |parser| parser.node(spec))?;
            let is_required = itself || required.contains(&name.as_str());
            sorted.push(Field { name: name.as_str().into(), node, required: is_required.then_some(0) });
        }
        for name in required {
            if !sorted.iter().any(|field| &*field.name == *name) {
                sorted.push(Field { name: (*name).into(), node: Node::default(), required: Some(0) });
            }
        }
        Ok(Fields::of(sorted))
    }

    /// Reads what stands under `name`: its errors and warnings get that path.
    fn within<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, FieldError>,
    ) -> Result<T, FieldError> {
        let n_known = self.warnings.len();
        let name = shorten(name, 60);
        let res = read(self).map_err(|error| error.within(&name));
        for warning in self.warnings.iter_mut().skip(n_known) {
            *warning = warning.clone().within(&name);
        }
        res
    }

    /// Reads a specification, and whether its field is required.
    fn node(&mut self, spec: &Value) -> Result<(Node, bool), FieldError> {
        let Value::Object(spec) = spec else {
            return Err(FieldError::new(
                "",
                "must be an object that specifies the field, such as {\"type\": \"string\"}",
            ));
        };
        self.depth += 1;
        if MAX_DEPTH < self.depth {
            return Err(FieldError::new("", format!("is nested deeper than {MAX_DEPTH} specifications")));
        }
        let kind = spec.get("type").filter(|kind| !kind.is_null()).map(Kind::parse).transpose()?.unwrap_or_default();
        let mut node = Node { kind, ..Node::default() };
        let (mut required, mut fields_required) = (false, Vec::new());
        for (name, value) in spec.iter().filter(|(_, value)| !value.is_null()) {
            self.useful(kind, name, name);
            match (name.as_str(), value) {
                ("required", Value::Bool(itself)) => required = *itself,
                ("required", names) => {
                    fields_required = names_in(names).map_err(|error| error.within(name))?;
                    self.useful(kind, "properties", name);
                }
                _ => self.within(name, |parser| parser.attribute(&mut node, name, value))?,
            }
        }
        if let Some(Value::Object(specs)) = spec.get("properties") {
            node.fields = self.within("properties", |parser| parser.fields(specs.iter(), &fields_required))?;
        } else {
            node.fields = self.fields(std::iter::empty(), &fields_required)?;
        }
        if kind == Kind::Array
            && let Some(choices) = node.choices.take()
        {
            choices.narrow(&mut node.items.get_or_insert_default().choices);
        }
        self.depth -= 1;
        Ok((node, required))
    }

    fn attribute(&mut self, node: &mut Node, name: &str, value: &Value) -> Result<(), FieldError> {
        match name {
            "pattern" => {
                let text = value.as_str().ok_or_else(|| FieldError::new("", "must be a string"))?;
                node.pattern = Some(Pattern::parse(text, self.budget)?);
            }
            "length" => node.max_chars = Some(size(value)?),
            "max_length" => node.max_elements = Some(size(value)?),
            "min" => node.min = Some(Number::parse(value)?),
            "max" => node.max = Some(Number::parse(value)?),
            "choices" => node.choices = Some(Choices::parse(value)?),
            "items" => node.items = Some(Box::new(self.node(value)?.0)),
            "properties" if !value.is_object() => {
                return Err(FieldError::new("", "must be an object: a map of fields"));
            }
            // Known and without effect, read elsewhere, or unknown and warned about.
            _ => {}
        }
        Ok(())
    }

    /// Warns of an attribute that says nothing about a value of this kind; `like` is one that is about the same kinds.
    fn useful(&mut self, kind: Kind, like: &str, name: &str) {
        let about = match like {
            "type" | "description" | "required" => return,
            "pattern" | "length" => &[Kind::String][..],
            "min" | "max" => &[Kind::Number],
            "choices" => &[Kind::String, Kind::Number, Kind::Boolean, Kind::Array],
            "max_length" | "items" => &[Kind::Array],
            "properties" => &[Kind::Object],
            other => {
                let hint = hint(other).map(|known| format!(": `{known}` is")).unwrap_or_default();
                let why = format!("is not an attribute of the template language and has no effect{hint}");
                return self.warnings.push(FieldError::new(shorten(other, 60), why));
            }
        };
        if kind != Kind::Any && !about.contains(&kind) {
            let why = format!("has no effect on a field of type `{}`", kind.name());
            self.warnings.push(FieldError::new(name, why));
        }
    }
}

/// What the template language calls an attribute of JSON Schema.
fn hint(name: &str) -> Option<&'static str> {
    Some(match name {
        "minimum" => "min",
        "maximum" => "max",
        "enum" => "choices",
        "maxLength" => "length",
        "maxItems" => "max_length",
        _ => return None,
    })
}

fn names_in(value: &Value) -> Result<Vec<&str>, FieldError> {
    let names = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
    names.ok_or_else(|| FieldError::new("", "must be true, false, or a list of names of fields"))
}

fn size(value: &Value) -> Result<usize, FieldError> {
    let n = value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && 0.0 <= *n).map(|n| n as u64));
    let n = n.and_then(|n| usize::try_from(n).ok());
    n.ok_or_else(|| FieldError::new("", "must be a whole number, at least 0"))
}

impl Kind {
    fn parse(value: &Value) -> Result<Self, FieldError> {
        let kind = match value.as_str() {
            Some("any") => Self::Any,
            Some("string") => Self::String,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("array") => Self::Array,
            Some("object") => Self::Object,
            other => return Err(FieldError::new("type", unknown(other))),
        };
        Ok(kind)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    /// What a value of another kind is told.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

fn unknown(name: Option<&str>) -> String {
    let known = "`string`, `number`, `boolean`, `array`, `object` or `any`";
    let Some(name) = name else { return format!("must be {known}") };
    let hint = match name {
        "integer" | "int" | "float" => {
            "; for numbers there is `number`, and a JSON Schema, with `$schema`, for whole ones"
        }
        "str" | "text" => "; for text there is `string`",
        "bool" => "; for true and false there is `boolean`",
        "list" => "; for lists there is `array`",
        "dict" | "map" => "; for maps there is `object`",
        _ => "",
    };
    format!("must be {known}, not `{}`{hint}", shorten(name, 40))
}

impl Node {
    /// Whether every value will do.
    pub(super) fn is_anything(&self) -> bool {
        let Self { kind, choices, pattern, max_chars, min, max, max_elements, items, fields } = self;
        *kind == Kind::Any
            && choices.is_none()
            && pattern.is_none()
            && max_chars.is_none()
            && min.is_none()
            && max.is_none()
            && max_elements.is_none()
            && items.is_none()
            && fields.is_empty()
    }
}
