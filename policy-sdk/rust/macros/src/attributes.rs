//! What the attributes on a type, a field or a variant say.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Result, Type};

use crate::names::Case;

/// Serde attributes whose effect the description cannot follow.
const UNFOLLOWED: [&str; 10] =
    ["flatten", "tag", "content", "untagged", "from", "try_from", "into", "remote", "other", "variant_identifier"];

#[derive(Default)]
pub(crate) struct OfType {
    pub(crate) rename_all: Option<Case>,
    pub(crate) default: bool,
    pub(crate) closed: bool,
    pub(crate) transparent: bool,
}

impl OfType {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut res = Self::default();
        each(attributes, "serde", |meta| {
            if meta.path.is_ident("rename_all") {
                let name: LitStr = meta.value().map_err(|_| one_name(meta))?.parse()?;
                res.rename_all = Some(Case::parse(&name.value()).ok_or_else(|| meta.error("unknown case"))?);
            } else if meta.path.is_ident("default") {
                res.default = true;
                skip_value(meta)?;
            } else if meta.path.is_ident("deny_unknown_fields") {
                res.closed = true;
            } else if meta.path.is_ident("transparent") {
                res.transparent = true;
            } else {
                other(meta)?;
            }
            Ok(())
        })?;
        each(attributes, "schema", |meta| Err(meta.error("`schema` says something about a field, not about a type")))?;
        Ok(res)
    }
}

#[derive(Default)]
pub(crate) struct OfField {
    pub(crate) rename: Option<String>,
    pub(crate) optional: bool,
    pub(crate) skip: bool,
    /// Serde reads or writes it by a function that may give it another shape.
    pub(crate) reshaped: bool,
    pub(crate) described_as: Option<Type>,
    pub(crate) description: String,
    pub(crate) pattern: Option<String>,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) max_length: Option<String>,
}

impl OfField {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut res = Self { description: doc_comment(attributes), ..Self::default() };
        each(attributes, "serde", |meta| res.serde(meta))?;
        each(attributes, "schema", |meta| res.schema(meta))?;
        Ok(res)
    }

    fn serde(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("rename") {
            let name: LitStr = meta.value().map_err(|_| one_name(meta))?.parse()?;
            self.rename = Some(name.value());
        } else if meta.path.is_ident("default") || meta.path.is_ident("skip_serializing_if") {
            self.optional = true;
            skip_value(meta)?;
        } else if meta.path.is_ident("skip") {
            self.skip = true;
        } else if ["with", "serialize_with", "deserialize_with"].iter().any(|name| meta.path.is_ident(name)) {
            self.reshaped = true;
            skip_value(meta)?;
        } else if meta.path.is_ident("skip_serializing") || meta.path.is_ident("skip_deserializing") {
            return Err(meta.error("`Schema` describes reading and writing alike: use `skip`, or a type for each"));
        } else {
            other(meta)?;
        }
        Ok(())
    }

    fn schema(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("pattern") {
            self.pattern = Some(meta.value()?.parse::<LitStr>()?.value());
        } else if meta.path.is_ident("description") {
            self.description = meta.value()?.parse::<LitStr>()?.value();
        } else if meta.path.is_ident("min") {
            self.min = Some(number(meta)?);
        } else if meta.path.is_ident("max") {
            self.max = Some(number(meta)?);
        } else if meta.path.is_ident("max_length") {
            self.max_length = Some(meta.value()?.parse::<syn::LitInt>()?.base10_digits().to_owned());
        } else if meta.path.is_ident("as") {
            self.described_as = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error("expected `pattern`, `min`, `max`, `max_length`, `description` or `as`"));
        }
        Ok(())
    }
}

fn each(attributes: &[Attribute], name: &str, mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        attribute.parse_nested_meta(|meta| read(&meta))?;
    }
    Ok(())
}

fn other(meta: &ParseNestedMeta<'_>) -> Result<()> {
    match UNFOLLOWED.iter().find(|name| meta.path.is_ident(name)) {
        Some(name) => Err(meta.error(format!("`Schema` cannot follow serde's `{name}`: implement it by hand"))),
        None => skip_value(meta),
    }
}

fn one_name(meta: &ParseNestedMeta<'_>) -> syn::Error {
    meta.error("`Schema` describes reading and writing alike: give one name for both")
}

/// Passes over `= value` or `(…)`.
fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<Lit>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.input.parse::<proc_macro2::Group>()?;
    }
    Ok(())
}

/// A number as JSON writes it, sign included.
fn number(meta: &ParseNestedMeta<'_>) -> Result<String> {
    let value = meta.value()?;
    let minus = value.parse::<Option<syn::Token![-]>>()?.map_or("", |_| "-");
    let digits = match value.parse::<Lit>()? {
        Lit::Int(int) => int.base10_digits().to_owned(),
        Lit::Float(float) => float.base10_digits().to_owned(),
        _ => return Err(meta.error("expected a number")),
    };
    Ok(format!("{minus}{digits}"))
}

fn doc_comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(doc_line);
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    Some(text.value().trim().to_owned())
}
