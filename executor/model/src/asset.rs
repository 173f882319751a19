//! The record of an asset: the original's `AssetObject`, checked and completed.
//!
//! An asset is a file that was uploaded, or a place elsewhere that somebody registered. What only the registry knows of
//! it (its id, what its file is, its own address) is no part of the document here: it is added when a record is read,
//! and ignored when a record that was read is sent again.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value, json};

use crate::{
    code::CodeRef,
    document::{Field, Shape, complete, object, optional, unknown},
    field::{FieldError, shorten},
};

/// Names one version of an asset: `{name}:{version}-{tag}`, which `asset:` in a record's `code` can name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetUri(Box<str>);

/// Where the bytes of an asset are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetKind {
    /// In the registry: it was uploaded.
    File,
    /// Elsewhere, or nowhere yet: only its record is here.
    External,
}

/// A record that passed every check.
#[derive(Clone, Debug)]
pub struct AssetDraft {
    /// The identity, made of name, version and tag.
    pub uri: AssetUri,
    /// What its author wrote, completed.
    pub document: Map<String, Value>,
    /// What its author should know although it is no error.
    pub warnings: Vec<String>,
}

/// What is wrong with a record. The first two say it in the original's words, which its clients know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// No name.
    #[error("asset_name is required")]
    Name,
    /// No version, or no tag.
    #[error("Both version and tag are required in asset_version")]
    Version,
    /// Anything else.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// Fields beside name and version, all of which are read back.
const FIELDS: [Field; 5] = [
    optional("assets_db_id", Shape::Text),
    optional("asset_metadata", Shape::Object),
    optional("asset_tags", Shape::TextOrList),
    optional("asset_file_info", Shape::Object),
    optional(PUBLIC_URL, Shape::Text),
];
/// Where an asset is.
pub const PUBLIC_URL: &str = "asset_public_url";
/// Fields that the registry adds: sent, they are ignored.
pub const COMPUTED: [&str; 3] = ["asset_uri", "asset_id", "_id"];
/// What the registry adds to `asset_file_info` of a file.
const COMPUTED_INFO: [&str; 4] = ["file_name", "file_type", "file_size", "digest"];

impl AssetUri {
    fn of(name: &str, version: &str, tag: &str) -> Result<Self, FieldError> {
        let uri = format!("{name}:{version}-{tag}");
        let plain = |text: &str| {
            text.len() <= 128
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
        };
        let parts = [("asset_name", name), ("asset_version.version", version), ("asset_version.tag", tag)];
        if let Some((field, text)) = parts.into_iter().find(|(_, text)| !plain(text)) {
            let why = "must be at most 128 ASCII letters, digits, `.`, `_`, `-` or `+`";
            return Err(FieldError::new(field, format!("{why}, not `{}`", shorten(text, 40))));
        }
        uri.parse().map_err(|_| FieldError::new("asset_name", "and `asset_version` must not start with a dot"))
    }

    /// The uri as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AssetUri {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        match format!("asset:{text}").parse() {
            Ok(CodeRef::Asset(_)) if !text.starts_with("//") => Ok(Self(text.into())),
            _ => {
                let why = format!("must have the form `name:version-tag`, not `{}`", shorten(text, 60));
                Err(FieldError::new("asset_uri", why))
            }
        }
    }
}

impl fmt::Display for AssetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AssetError {
    /// The dotted path of the field that is wrong.
    pub fn field(&self) -> &str {
        match self {
            Self::Name => "asset_name",
            Self::Version => "asset_version",
            Self::Field(error) => error.field(),
        }
    }
}

impl AssetDraft {
    /// Reads the record of an asset of this kind.
    pub fn parse(body: Value, kind: AssetKind) -> Result<Self, AssetError> {
        let mut document = object(body, "an asset")?;
        drop_computed(&mut document, kind);
        let known = |name: &str| {
            matches!(name, "asset_name" | "asset_version") || FIELDS.iter().any(|field| field.name == name)
        };
        let warnings = unknown(&document, known);
        let name = name(&document)?;
        let (version, tag) = version(&mut document)?;
        let uri = AssetUri::of(&name, &version, &tag)?;
        document.insert("asset_name".into(), json!(name));
        complete(&mut document, &FIELDS)?;
        match kind {
            AssetKind::File => drop(document.shift_remove(PUBLIC_URL)),
            AssetKind::External => drop(place(&document)?),
        }
        Ok(Self { uri, document, warnings })
    }
}

/// Where an asset that is not a file is said to be; none if its record does not say.
pub fn place(document: &Map<String, Value>) -> Result<Option<CodeRef>, FieldError> {
    let Some(url) = document.get(PUBLIC_URL).and_then(Value::as_str).filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    match url.parse() {
        Ok(code @ (CodeRef::Http(_) | CodeRef::File(_))) => Ok(Some(code)),
        Ok(_) => Err(FieldError::new(PUBLIC_URL, "must be a URL: `https`, `http` or `file`")),
        Err(error) => Err(FieldError::new(PUBLIC_URL, error.to_string())),
    }
}

fn drop_computed(document: &mut Map<String, Value>, kind: AssetKind) {
    for name in COMPUTED {
        document.shift_remove(name);
    }
    if kind == AssetKind::File {
        document.shift_remove(PUBLIC_URL);
        if let Some(Value::Object(info)) = document.get_mut("asset_file_info") {
            info.retain(|name, _| !COMPUTED_INFO.contains(&name.as_str()));
        }
    }
}

fn name(document: &Map<String, Value>) -> Result<String, AssetError> {
    part(document, "asset_name", "asset_name")?.ok_or(AssetError::Name)
}

/// Version and tag; leaves them in the document without white space around them.
fn version(document: &mut Map<String, Value>) -> Result<(String, String), AssetError> {
    let Some(version) = document.get_mut("asset_version") else { return Err(AssetError::Version) };
    let Value::Object(parts) = version else {
        return Err(FieldError::new("asset_version", "must be an object: {\"version\": …, \"tag\": …}").into());
    };
    let version = part(parts, "version", "asset_version.version")?.ok_or(AssetError::Version)?;
    let tag = part(parts, "tag", "asset_version.tag")?.ok_or(AssetError::Version)?;
    parts.insert("version".into(), json!(version));
    parts.insert("tag".into(), json!(tag));
    Ok((version, tag))
}

/// The string at `name` without white space around it; none if nothing is left.
fn part(members: &Map<String, Value>, name: &str, path: &str) -> Result<Option<String>, FieldError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(_) => Err(FieldError::new(path, "must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Value {
        json!({
            "asset_name": "IP-allow-list",
            "asset_version": { "version": "1.0", "tag": "beta" },
            "asset_metadata": { "description": "IP allow list policy code" },
            "asset_tags": ["policy", "example"]
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut body = seed();
        match path.split_once('.') {
            Some((outer, inner)) => body[outer][inner] = value,
            None => body[path] = value,
        }
        body
    }

    #[test]
    fn a_record_is_completed_and_what_the_registry_adds_is_ignored() {
        let draft = AssetDraft::parse(seed(), AssetKind::File).unwrap();
        assert_eq!((draft.uri.as_str(), draft.warnings.len()), ("IP-allow-list:1.0-beta", 0));
        assert_eq!((&draft.document["asset_file_info"], &draft.document["assets_db_id"]), (&json!({}), &json!("")));
        let mut read = Value::Object(draft.document.clone());
        read["asset_id"] = json!("x");
        read["asset_uri"] = json!("y");
        read["asset_public_url"] = json!("http://127.0.0.1/asset-object/x");
        read["asset_file_info"] = json!({"file_name": "a.zip", "file_type": "b", "file_size": 1, "digest": "c"});
        assert_eq!(AssetDraft::parse(read, AssetKind::File).unwrap().document, draft.document);
        let draft = AssetDraft::parse(with("asset_name", json!(" a ")), AssetKind::File).unwrap();
        assert_eq!((draft.uri.as_str(), &draft.document["asset_name"]), ("a:1.0-beta", &json!("a")));
        let draft = AssetDraft::parse(with("colour", json!(1)), AssetKind::File).unwrap();
        assert_eq!(draft.warnings, ["unknown field `colour` is kept and not used"]);
    }

    #[test]
    fn every_uri_is_one_that_code_can_name() {
        let part = "a".repeat(128);
        let mut body = with("asset_name", json!(part));
        body["asset_version"] = json!({"version": part, "tag": part});
        let uri = AssetDraft::parse(body, AssetKind::File).unwrap().uri;
        assert!(matches!(format!("asset:{uri}").parse(), Ok(CodeRef::Asset(_))));
        assert_eq!(uri.as_str().parse(), Ok(uri.clone()));
        for text in ["", "a", "a:1", "a:1-b:c", "//x", "//a:1-b", "../a:1-b", ".a:1-b", "a b:1-c", "а:1-b"] {
            assert_eq!(text.parse::<AssetUri>().unwrap_err().field(), "asset_uri", "{text}");
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (body, field, says) in [
            (json!([]), "", "an asset"),
            (json!({}), "asset_name", "asset_name is required"),
            (with("asset_name", json!("  ")), "asset_name", "asset_name is required"),
            (with("asset_name", json!(null)), "asset_name", "asset_name is required"),
            (with("asset_name", json!(5)), "asset_name", "must be a string"),
            (with("asset_name", json!("a b")), "asset_name", "not `a b`"),
            (with("asset_name", json!("a/b")), "asset_name", "ASCII letters"),
            (with("asset_name", json!("..")), "asset_name", "start with a dot"),
            (with("asset_name", json!("a".repeat(129))), "asset_name", "at most 128"),
            (json!({"asset_name": "a"}), "asset_version", "Both version and tag are required in asset_version"),
            (with("asset_version", json!({"version": "1"})), "asset_version", "Both version and tag"),
            (with("asset_version.tag", json!("")), "asset_version", "Both version and tag"),
            (with("asset_version", json!("1.0")), "asset_version", "must be an object"),
            (with("asset_version.version", json!(1.0)), "asset_version.version", "must be a string"),
            (with("asset_version.tag", json!("a:b")), "asset_version.tag", "ASCII letters"),
            (with("asset_version.version", json!(".1")), "asset_name", "start with a dot"),
            (with("asset_metadata", json!("x")), "asset_metadata", "must be an object"),
            (with("asset_tags", json!([1])), "asset_tags", "a list of strings"),
            (with("asset_file_info", json!([])), "asset_file_info", "must be an object"),
        ] {
            let error = AssetDraft::parse(body.clone(), AssetKind::File).unwrap_err();
            assert_eq!(error.field(), field, "{body}: {error}");
            assert!(error.to_string().contains(says), "{body}: {error}");
        }
    }

    #[test]
    fn an_external_asset_is_at_a_url_or_nowhere() {
        let at = |url: &str| AssetDraft::parse(with("asset_public_url", json!(url)), AssetKind::External);
        assert_eq!(place(&at("").unwrap().document), Ok(None));
        let draft = at("https://example.com/p.zip?sig=1").unwrap();
        assert_eq!(place(&draft.document).unwrap().unwrap().to_string(), "https://example.com/p.zip?sig=…");
        for url in ["p.zip", "asset:a:1-b", "gopher://x/", "https://u:p@x/"] {
            assert_eq!(at(url).unwrap_err().field(), "asset_public_url", "{url}");
        }
    }
}
