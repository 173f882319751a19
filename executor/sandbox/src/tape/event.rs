//! One thing that a run was told, and how it is written.

use lictor_model::{Failure, hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One thing that a run was told, by the name of the function that it asked. Only what the guest does not itself determine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", deny_unknown_fields)]
pub enum Event {
    /// `wasi:clocks/wall-clock.now`
    #[serde(rename = "wall-clock.now")]
    WallClock {
        /// Since the Unix epoch.
        seconds: u64,
        /// Of the second.
        nanoseconds: u32,
    },
    /// `wasi:clocks/monotonic-clock.now`
    #[serde(rename = "monotonic-clock.now")]
    Monotonic {
        /// Since a start that means nothing.
        ns: u64,
    },
    /// Any function of `wasi:random`.
    #[serde(rename = "random")]
    Random {
        /// What was drawn.
        bytes: Data,
    },
    /// `wasi:keyvalue/store.get`
    #[serde(rename = "context.get")]
    Get {
        /// Of which key.
        key: String,
        /// What it was, if it was there.
        value: Option<Data>,
    },
    /// `wasi:keyvalue/store.exists`
    #[serde(rename = "context.exists")]
    Exists {
        /// Which key.
        key: String,
        /// Whether it was there.
        found: bool,
    },
    /// `wasi:keyvalue/store.list-keys`
    #[serde(rename = "context.list-keys")]
    ListKeys {
        /// From where on.
        cursor: Option<u64>,
        /// The keys.
        keys: Vec<String>,
        /// Where it goes on.
        next: Option<u64>,
    },
    /// `wasi:keyvalue/store.set`
    #[serde(rename = "context.set")]
    Set {
        /// Which key.
        key: String,
        /// To what.
        value: Data,
        /// Why not, if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Refused,
    },
    /// `wasi:keyvalue/store.delete`
    #[serde(rename = "context.delete")]
    Delete {
        /// Which key.
        key: String,
        /// Why not, if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Refused,
    },
    /// `lictor:policy/host.call`
    #[serde(rename = "host.call")]
    Host {
        /// Which function.
        name: String,
        /// JSON text.
        args: String,
        /// What it said.
        #[serde(flatten)]
        told: Told,
    },
    /// `wasi:http/outgoing-handler.handle`, and what came back.
    #[serde(rename = "http.request")]
    Http {
        /// How.
        method: String,
        /// Where.
        url: String,
        /// What came back.
        answer: HttpAnswer,
    },
    /// `wasi:http/types.future-incoming-response.get`
    #[serde(rename = "http.response")]
    Response {
        /// Whether it had come.
        ready: bool,
    },
    /// `wasi:io/poll.poll`
    #[serde(rename = "poll")]
    Poll {
        /// Which were ready.
        ready: Vec<u32>,
    },
    /// `wasi:io/poll.pollable.ready`
    #[serde(rename = "pollable.ready")]
    Ready {
        /// Whether it was.
        ready: bool,
    },
    /// A read, skip or splice of `wasi:io/streams`.
    #[serde(rename = "stream.read")]
    Read {
        /// How many bytes there were; none if the stream had ended, well or not.
        bytes: Option<u64>,
    },
    /// `wasi:io/streams.output-stream.check-write`
    #[serde(rename = "stream.check-write")]
    CheckWrite {
        /// How many bytes it would take; none if the stream had ended.
        bytes: Option<u64>,
    },
    /// A write or flush of `wasi:io/streams`.
    #[serde(rename = "stream.write")]
    Write {
        /// Whether the stream had ended, well or not.
        ended: bool,
    },
    /// Something that the policy was not granted, and so did not get. It follows from the grant, and a replay asks for it
    /// nowhere: it is here to be read.
    #[serde(rename = "refused")]
    Refused {
        /// The grant that was missing.
        grant: String,
    },
}

/// Why something was not done.
pub(crate) type Refused = Option<String>;

/// What a host function said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// JSON text.
    Answer(String),
    /// That it failed.
    Failure {
        /// A short word.
        code: String,
        /// A sentence.
        message: String,
        /// JSON text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        details: Option<String>,
    },
}

/// What came back of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpAnswer {
    /// Nothing, until the run ended.
    None,
    /// An error, by its name in `wasi:http`.
    Error(String),
    /// A response.
    Response {
        /// The HTTP status.
        status: u16,
        /// Names and values.
        headers: Vec<(String, Data)>,
        /// As much of the body as was asked for.
        body: Data,
        /// The error that the body ended with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broken: Option<String>,
    },
}

/// Bytes, which are written as text where they are some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Result<String, Failure>> for Told {
    fn from(answer: Result<String, Failure>) -> Self {
        match answer {
            Ok(answer) => Self::Answer(answer),
            Err(Failure { code, message, details }) => Self::Failure { code, message, details },
        }
    }
}

impl From<Told> for Result<String, Failure> {
    fn from(told: Told) -> Self {
        match told {
            Told::Answer(answer) => Ok(answer),
            Told::Failure { code, message, details } => Err(Failure { code, message, details }),
        }
    }
}

impl Event {
    /// About how many bytes its texts have.
    pub(super) fn bytes(&self) -> usize {
        let refused = |refused: &Refused| refused.as_ref().map_or(0, String::len);
        match self {
            Self::Random { bytes } => bytes.0.len(),
            Self::Get { key, value } => key.len().saturating_add(value.as_ref().map_or(0, |value| value.0.len())),
            Self::Exists { key, .. } => key.len(),
            Self::ListKeys { keys, .. } => keys.iter().map(|key| key.len().saturating_add(8)).sum(),
            Self::Set { key, value, refused: why } => {
                key.len().saturating_add(value.0.len()).saturating_add(refused(why))
            }
            Self::Delete { key, refused: why } => key.len().saturating_add(refused(why)),
            Self::Host { name, args, told } => {
                let told = match told {
                    Told::Answer(answer) => answer.len(),
                    Told::Failure { code, message, details } => {
                        let details = details.as_ref().map_or(0, String::len);
                        code.len().saturating_add(message.len()).saturating_add(details)
                    }
                };
                name.len().saturating_add(args.len()).saturating_add(told)
            }
            Self::Http { method, url, .. } => method.len().saturating_add(url.len()),
            Self::Poll { ready } => ready.len().saturating_mul(4),
            Self::Refused { grant } => grant.len(),
            Self::WallClock { .. }
            | Self::Monotonic { .. }
            | Self::Response { .. }
            | Self::Ready { .. }
            | Self::Read { .. }
            | Self::CheckWrite { .. }
            | Self::Write { .. } => 8,
        }
    }
}

/// Text that is no UTF-8, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes { hex: String },
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Written::Bytes { hex: hex::encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Bytes { hex: digits } => {
                hex::decode(&digits).map(Self).ok_or_else(|| de::Error::custom("these are no hexadecimal digits"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let failure = Told::Failure { code: "c".into(), message: "m".into(), details: Some("[1]".into()) };
        let response = HttpAnswer::Response {
            status: 200,
            headers: vec![("a".into(), Data(vec![0xff]))],
            body: Data(b"text".to_vec()),
            broken: None,
        };
        let http = |answer| Event::Http { method: "GET".into(), url: "http://a/".into(), answer };
        let host = |told| Event::Host { name: "n".into(), args: "{}".into(), told };
        let events = [
            Event::WallClock { seconds: 1, nanoseconds: 2 },
            Event::Monotonic { ns: u64::MAX },
            Event::Random { bytes: Data(vec![0xc0, 0]) },
            Event::Get { key: "k".into(), value: Some(Data(vec![])) },
            Event::Get { key: "k".into(), value: None },
            Event::Exists { key: "k".into(), found: true },
            Event::ListKeys { cursor: None, keys: vec!["k".into()], next: Some(1) },
            Event::Set { key: "k".into(), value: Data(b"v".to_vec()), refused: Some("full".into()) },
            Event::Delete { key: "k".into(), refused: None },
            host(Told::Answer("[]".into())),
            host(failure),
            http(HttpAnswer::None),
            http(HttpAnswer::Error("DNS-error".into())),
            http(response),
            Event::Response { ready: false },
            Event::Poll { ready: vec![0, 2] },
            Event::Ready { ready: true },
            Event::Read { bytes: Some(3) },
            Event::Read { bytes: None },
            Event::CheckWrite { bytes: Some(0) },
            Event::Write { ended: true },
            Event::Refused { grant: "g".into() },
        ];
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), events, "{text}");
        assert!(text.contains(r#"{"call":"context.delete","key":"k"}"#), "{text}");
        assert!(text.contains(r#"{"call":"host.call","name":"n","args":"{}","answer":"[]"}"#), "{text}");
    }
}
