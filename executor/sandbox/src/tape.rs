//! What a run asked of the world outside and what it was told: recorded as it happens, and told again in a replay.
//!
//! Between its imports a guest is deterministic: floats have one NaN, relaxed SIMD and threads are off, and fuel is counted
//! the same everywhere. So whoever gives it the same answers gets the same decision. Every import whose answer the guest
//! does not itself determine asks the [`Tape`] first: off, it says nothing; recording, it takes down the answer; playing,
//! it has the answer, and the world outside is not asked.
//!
//! Two ways of playing: [`Matching::Exact`] is for the component that was recorded, which must ask for the same things in
//! the same order; [`Matching::Loose`] is for another one, which is told what the record knows of what it asks for.

mod event;
mod player;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use event::Refused;
pub use event::{Data, Event, HttpAnswer, Told};
pub(crate) use player::Player;

use crate::state::Stopped;

/// What the bookkeeping of an event counts for, beside its texts.
const EVENT_COST: usize = 64;

/// What a run was told, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Each answer, with what was asked.
    pub events: Vec<Event>,
    /// Whether there was more than was to be kept, or an answer had not come whole when the run ended: then the run cannot
    /// be replayed.
    pub cut: bool,
}

/// What is to become of what a run is told.
#[derive(Clone, Debug, Default)]
pub enum TapeMode {
    /// Nothing.
    #[default]
    Off,
    /// It is recorded, up to so many bytes.
    Record {
        /// The most that is kept.
        max_bytes: usize,
    },
    /// It comes from a transcript.
    Play {
        /// What was recorded.
        transcript: Arc<Transcript>,
        /// Who is told it.
        matching: Matching,
    },
}

/// How what a run asks for is looked up in a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// As the next event: anything else means that the replay has left the record.
    Exact,
    /// As any event that answers the same question.
    Loose,
}

/// The tape of one run.
#[derive(Debug, Default)]
pub(crate) enum Tape {
    #[default]
    Off,
    Recording(Recording),
    Playing(Player),
}

#[derive(Debug)]
pub(crate) struct Recording {
    slots: Vec<Slot>,
    bytes: usize,
    most: usize,
    cut: bool,
}

#[derive(Debug)]
enum Slot {
    Event(Event),
    /// Filled in by the task that fetches it.
    Exchange(Arc<Exchange>),
}

/// A request and its answer, which comes while the guest runs on.
#[derive(Debug)]
pub(crate) struct Exchange {
    method: String,
    url: String,
    most: usize,
    answer: Mutex<Arriving>,
}

#[derive(Debug, Default)]
struct Arriving {
    answer: Option<HttpAnswer>,
    /// Whether more came than was to be kept.
    cut: bool,
}

impl TapeMode {
    pub(crate) fn tape(&self) -> Tape {
        match self {
            Self::Off => Tape::Off,
            Self::Record { max_bytes } => {
                Tape::Recording(Recording { slots: Vec::new(), bytes: 0, most: *max_bytes, cut: false })
            }
            Self::Play { transcript, matching } => Tape::Playing(Player::new(Arc::clone(transcript), *matching)),
        }
    }
}

impl Tape {
    /// Whether nothing outside is to be asked.
    pub(crate) fn is_playing(&self) -> bool {
        matches!(self, Self::Playing(_))
    }

    /// Whether what is told is taken down.
    pub(crate) fn is_recording(&self) -> bool {
        matches!(self, Self::Recording(_))
    }

    /// Whether what is asked is what was asked when it was recorded, in the same order.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Playing(player) if player.is_exact())
    }

    /// What the record has for a question; none where the world outside, or what stands for it in a replay, is to be asked.
    pub(crate) fn told<T>(
        &mut self,
        question: &Question<'_>,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Result<Option<T>, Stopped> {
        match self {
            Self::Off | Self::Recording(_) => Ok(None),
            Self::Playing(player) => player.told(question, pick),
        }
    }

    /// Takes down what the world outside said.
    pub(crate) fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Self::Recording(recording) = self {
            recording.push(event());
        }
    }

    /// Takes down a request whose answer is still to come.
    pub(crate) fn exchange(&mut self, method: &str, url: &str) -> Option<Arc<Exchange>> {
        let Self::Recording(recording) = self else { return None };
        let (method, url) = (method.to_owned(), url.to_owned());
        if !recording.admit(method.len().saturating_add(url.len())) {
            return None;
        }
        let exchange = Arc::new(Exchange { method, url, most: recording.most, answer: Mutex::default() });
        recording.slots.push(Slot::Exchange(Arc::clone(&exchange)));
        Some(exchange)
    }

    /// What was recorded, at the end of the run.
    pub(crate) fn transcript(&mut self) -> Option<Transcript> {
        let Self::Recording(recording) = std::mem::take(self) else { return None };
        let mut cut = recording.cut;
        let mut event = |slot: Slot| match slot {
            Slot::Event(event) => event,
            Slot::Exchange(exchange) => {
                let (event, whole) = exchange.event();
                cut |= !whole;
                event
            }
        };
        let events = recording.slots.into_iter().map(&mut event).collect();
        Some(Transcript { events, cut })
    }

    /// Where a replay left the record, if it did; asked at its end, so what was not asked for counts too.
    pub(crate) fn strayed(&mut self) -> Option<String> {
        match self {
            Self::Playing(player) => player.strayed(),
            Self::Off | Self::Recording(_) => None,
        }
    }
}

/// What a guest asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The function, and what it is about.
    pub(crate) what: &'a str,
    pub(crate) about: &'a str,
    /// What a loose replay does of which the record knows nothing.
    pub(crate) unknown: Unknown,
}

/// What a loose replay does about a question to which the record has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// What stands for the world outside is asked, which needs no record: it is the same each time.
    Fine,
    /// The same, and the replay says that it is a guess.
    Guess,
    /// There is no answer: the guest is stopped.
    Stop,
}

impl<'a> Question<'a> {
    pub(crate) fn new(what: &'a str, unknown: Unknown) -> Self {
        Self { what, about: "", unknown }
    }

    pub(crate) fn about(self, about: &'a str) -> Self {
        Self { about, ..self }
    }
}

impl Recording {
    fn push(&mut self, event: Event) {
        if self.admit(event.bytes()) {
            self.slots.push(Slot::Event(event));
        }
    }

    /// Whether so many bytes more are to be kept. After the first that are not, nothing is.
    fn admit(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(EVENT_COST);
        self.cut |= self.most < self.bytes;
        !self.cut
    }
}

impl Exchange {
    fn with<T>(&self, change: impl FnOnce(&mut Arriving) -> T) -> T {
        change(&mut self.answer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The head of the response has come.
    pub(crate) fn head(&self, status: u16, headers: &http::HeaderMap) {
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), Data::from(value.as_bytes().to_vec()))
        };
        let headers = headers.iter().map(header).collect();
        let answer = HttpAnswer::Response { status, headers, body: Data::default(), broken: None };
        self.with(|arriving| arriving.answer = Some(answer));
    }

    /// There is no response.
    pub(crate) fn failed(&self, error: String) {
        self.with(|arriving| arriving.answer = Some(HttpAnswer::Error(error)));
    }

    /// More of the body has come.
    pub(crate) fn data(&self, bytes: &[u8]) {
        let most = self.most;
        self.with(|arriving| {
            let Some(HttpAnswer::Response { body, .. }) = &mut arriving.answer else { return };
            arriving.cut |= most < body.0.len().saturating_add(bytes.len());
            if !arriving.cut {
                body.0.extend_from_slice(bytes);
            }
        });
    }

    /// The body has ended with this error.
    pub(crate) fn broken(&self, error: String) {
        self.with(|arriving| {
            if let Some(HttpAnswer::Response { broken, .. }) = &mut arriving.answer {
                *broken = Some(error);
            }
        });
    }

    /// What is there, and whether it is all that the guest can have seen.
    fn event(&self) -> (Event, bool) {
        let (method, url) = (self.method.clone(), self.url.clone());
        self.with(|arriving| {
            // What never came was not seen; and of a body that did not come whole, what came was all there was to see.
            let answer = arriving.answer.clone().unwrap_or(HttpAnswer::None);
            (Event::Http { method, url, answer }, !arriving.cut)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_cut_and_said() {
        let mut tape = TapeMode::Record { max_bytes: 3 * EVENT_COST }.tape();
        for ns in 0..10 {
            tape.note(|| Event::Monotonic { ns });
        }
        let transcript = tape.transcript().unwrap();
        assert!(transcript.cut && (1..10).contains(&transcript.events.len()), "{transcript:?}");
        assert!(tape.transcript().is_none());
    }

    #[test]
    fn an_answer_is_what_came_of_it() {
        let mut tape = TapeMode::Record { max_bytes: 1000 }.tape();
        let exchange = tape.exchange("GET", "http://a/").unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("a", http::HeaderValue::from_static("b"));
        exchange.head(200, &headers);
        exchange.data(b"one");
        exchange.data(b"two");
        exchange.broken("connection-terminated".into());
        let unanswered = tape.exchange("POST", "http://b/").unwrap();
        let failed = tape.exchange("POST", "http://c/").unwrap();
        failed.failed("DNS-error".into());
        let transcript = tape.transcript().unwrap();
        drop(unanswered);
        let http = |method: &str, url: &str, answer| Event::Http { method: method.into(), url: url.into(), answer };
        let response = HttpAnswer::Response {
            status: 200,
            headers: vec![("a".into(), Data::from(b"b".to_vec()))],
            body: Data::from(b"onetwo".to_vec()),
            broken: Some("connection-terminated".into()),
        };
        let expected = [
            http("GET", "http://a/", response),
            http("POST", "http://b/", HttpAnswer::None),
            http("POST", "http://c/", HttpAnswer::Error("DNS-error".into())),
        ];
        assert_eq!((transcript.events.as_slice(), transcript.cut), (expected.as_slice(), false));
    }
}
