//! A JSON document on the command line: its text, the name of a file after `@`, or `-` for standard input.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
};

use lictor_model::json;

use super::Failure;

/// The longest document in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// On the command line.
    Text(String),
    /// In a file.
    File(PathBuf),
    /// On standard input.
    Stdin,
}

impl FromStr for Document {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.strip_prefix('@')) {
            ("-" | "@-", _) => Self::Stdin,
            (_, Some(path)) => Self::File(path.into()),
            (_, None) => Self::Text(text.to_owned()),
        })
    }
}

impl Document {
    /// The document's text, checked. `flag` is named when there is something wrong with it.
    pub(super) fn read(&self, flag: &str) -> Result<String, Failure> {
        let wrong = |why: String| Failure::Usage(format!("`{flag}` {why}"));
        let bytes = match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => File::open(path)
                .and_then(read_bounded)
                .map_err(|error| wrong(format!("names `{}`, which cannot be read: {error}", path.display()))),
            Self::Stdin => read_bounded(io::stdin().lock())
                .map_err(|error| wrong(format!("is standard input, which cannot be read: {error}"))),
        }?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".into()))?;
        json::check(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(text.trim().to_owned())
    }

    /// The same, of an object.
    pub(super) fn read_object(&self, flag: &str) -> Result<String, Failure> {
        let text = self.read(flag)?;
        match text.starts_with('{') {
            true => Ok(text),
            false => Err(Failure::Usage(format!("`{flag}` must be a JSON object"))),
        }
    }
}

/// Reads everything, up to [`MAX_BYTES`].
pub(super) fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let n_read = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if MAX_BYTES < n_read as u64 {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_text_a_file_or_standard_input() {
        for (text, document) in [
            ("{}", Document::Text("{}".into())),
            ("-1", Document::Text("-1".into())),
            ("@a.json", Document::File("a.json".into())),
            ("-", Document::Stdin),
            ("@-", Document::Stdin),
        ] {
            assert_eq!(text.parse::<Document>().unwrap(), document, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_flag() {
        let deep = "[".repeat(200);
        for (text, says) in [
            ("", "`--input` is not valid JSON"),
            ("{", "`--input` is not valid JSON"),
            (deep.as_str(), "`--input` is nested deeper than 128"),
            ("@/nowhere/a.json", "`--input` names `/nowhere/a.json`"),
            ("5", "`--input` must be a JSON object"),
        ] {
            let Err(Failure::Usage(message)) = text.parse::<Document>().unwrap().read_object("--input") else {
                panic!("{text}");
            };
            assert!(message.starts_with(says), "{message}");
        }
        assert_eq!("  null\n".parse::<Document>().unwrap().read("--input").unwrap(), "null");
    }
}
