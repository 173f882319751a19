//! From the tree to JSON Schema text, in constant functions: without iterators, traits or allocation. Run twice, the
//! first time into no buffer at all, to learn the length.

use super::{Field, Limits, Node, Schemas};

pub(super) struct Sink<'a> {
    bytes: &'a mut [u8],
    length: usize,
    /// Whether a comma belongs before the next member.
    after_member: bool,
}

impl<'a> Sink<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, length: 0, after_member: false }
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    pub(super) const fn schemas(&mut self, schemas: &Schemas) {
        self.open(b'{');
        let [settings, parameters, input, output] = &schemas.parts;
        self.part(settings);
        self.part(parameters);
        self.part(input);
        self.part(output);
        self.close(b'}');
    }

    const fn part(&mut self, part: &(&'static str, &'static Node)) {
        self.key(part.0);
        self.node(part.1, &Limits::NONE, false);
    }

    /// A schema. `limits` are those of the field it is in, `nullable` whether `null` will do too.
    pub(super) const fn node(&mut self, node: &Node, limits: &Limits, nullable: bool) {
        self.open(b'{');
        self.members(node, limits, nullable);
        self.close(b'}');
    }

    const fn members(&mut self, node: &Node, limits: &Limits, nullable: bool) {
        match node {
            Node::Any => {}
            Node::Boolean => self.type_name("boolean", nullable),
            Node::Integer { unsigned } => {
                self.type_name("integer", nullable);
                self.bounds(limits, *unsigned);
            }
            Node::Number => {
                self.type_name("number", nullable);
                self.bounds(limits, false);
            }
            Node::String => {
                self.type_name("string", nullable);
                self.text_member("pattern", limits.pattern);
                self.number_member("maxLength", limits.max_length);
            }
            Node::Choices(names) => self.choices(names, nullable),
            Node::List(element) => {
                self.type_name("array", nullable);
                self.number_member("maxItems", limits.max_length);
                self.key("items");
                self.node(element, &inner(limits), false);
            }
            Node::Map(value) => {
                self.type_name("object", nullable);
                self.key("additionalProperties");
                self.node(value, &inner(limits), false);
            }
            Node::Object { fields, closed } => {
                self.type_name("object", nullable);
                self.object(fields, *closed);
            }
            Node::Nullable(node) => self.members(node, limits, true),
        }
    }

    const fn object(&mut self, fields: &[Field], closed: bool) {
        self.key("properties");
        self.open(b'{');
        let mut rest = fields;
        let mut any_required = false;
        while let [field, others @ ..] = rest {
            any_required = any_required || field.required;
            self.key(field.name);
            self.field(field);
            rest = others;
        }
        self.close(b'}');
        if any_required {
            self.required(fields);
        }
        if closed {
            self.key("additionalProperties");
            self.raw("false");
            self.after_member = true;
        }
    }

    const fn field(&mut self, field: &Field) {
        self.open(b'{');
        if !field.description.is_empty() {
            self.text_member("description", Some(field.description));
        }
        self.members(field.node, &field.limits, false);
        self.close(b'}');
    }

    const fn required(&mut self, fields: &[Field]) {
        self.key("required");
        self.open(b'[');
        let mut rest = fields;
        while let [field, others @ ..] = rest {
            if field.required {
                self.element(field.name);
            }
            rest = others;
        }
        self.close(b']');
    }

    const fn choices(&mut self, names: &[&str], nullable: bool) {
        self.key("enum");
        self.open(b'[');
        let mut rest = names;
        while let [name, others @ ..] = rest {
            self.element(name);
            rest = others;
        }
        if nullable {
            self.comma();
            self.raw("null");
        }
        self.close(b']');
    }

    const fn bounds(&mut self, limits: &Limits, unsigned: bool) {
        let min = if limits.min.is_none() && unsigned { Some("0") } else { limits.min };
        self.number_member("minimum", min);
        self.number_member("maximum", limits.max);
    }

    const fn type_name(&mut self, name: &str, nullable: bool) {
        self.key("type");
        if nullable {
            self.open(b'[');
            self.element(name);
            self.element("null");
            self.close(b']');
        } else {
            self.text(name);
        }
        self.after_member = true;
    }

    const fn text_member(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            self.text(text);
            self.after_member = true;
        }
    }

    const fn number_member(&mut self, key: &str, number: Option<&str>) {
        if let Some(number) = number {
            self.key(key);
            self.raw(number);
            self.after_member = true;
        }
    }

    const fn key(&mut self, key: &str) {
        self.comma();
        self.text(key);
        self.byte(b':');
        self.after_member = false;
    }

    const fn element(&mut self, text: &str) {
        self.comma();
        self.text(text);
        self.after_member = true;
    }

    const fn comma(&mut self) {
        if self.after_member {
            self.byte(b',');
        }
    }

    const fn open(&mut self, bracket: u8) {
        self.byte(bracket);
        self.after_member = false;
    }

    const fn close(&mut self, bracket: u8) {
        self.byte(bracket);
        self.after_member = true;
    }

    const fn text(&mut self, text: &str) {
        self.byte(b'"');
        let mut rest = text.as_bytes();
        while let [byte, others @ ..] = rest {
            self.escaped(*byte);
            rest = others;
        }
        self.byte(b'"');
    }

    const fn escaped(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw("\\\""),
            b'\\' => self.raw("\\\\"),
            b'\n' => self.raw("\\n"),
            b'\t' => self.raw("\\t"),
            0..0x20 => {
                self.raw("\\u00");
                self.byte(b'0' + (byte >> 4));
                let low = byte & 0xf;
                self.byte(if low < 10 { b'0' + low } else { b'a' + low - 10 });
            }
            _ => self.byte(byte),
        }
    }

    const fn raw(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let [byte, others @ ..] = rest {
            self.byte(*byte);
            rest = others;
        }
    }

    const fn byte(&mut self, byte: u8) {
        if self.length < self.bytes.len() {
            let (_, rest) = self.bytes.split_at_mut(self.length);
            if let [first, ..] = rest {
                *first = byte;
            }
        }
        self.length += 1;
    }
}

/// What holds for the elements of something that has these limits.
const fn inner(limits: &Limits) -> Limits {
    Limits { max_length: None, ..*limits }
}
