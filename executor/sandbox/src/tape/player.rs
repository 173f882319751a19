//! Tells a run what another one was told.

use std::sync::Arc;

use lictor_model::StopKind;

use super::{Event, Matching, Question, Transcript, Unknown};
use crate::state::Stopped;

/// A transcript that is being played.
#[derive(Debug)]
pub(crate) struct Player {
    transcript: Arc<Transcript>,
    matching: Matching,
    /// The next event of an exact replay.
    next: usize,
    /// Which events a loose replay has told already.
    told: Vec<bool>,
    /// Where the replay first left the record.
    strayed: Option<String>,
}

impl Player {
    pub(super) fn new(transcript: Arc<Transcript>, matching: Matching) -> Self {
        let told = match matching {
            Matching::Exact => Vec::new(),
            Matching::Loose => vec![false; transcript.events.len()],
        };
        Self { transcript, matching, next: 0, told, strayed: None }
    }

    pub(super) fn told<T>(
        &mut self,
        question: &Question<'_>,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Result<Option<T>, Stopped> {
        match self.matching {
            Matching::Exact => self.next(question, pick).map(Some),
            Matching::Loose => self.any(question, pick),
        }
    }

    fn next<T>(&mut self, question: &Question<'_>, pick: impl Fn(&Event) -> Option<T>) -> Result<T, Stopped> {
        self.skip_refusals();
        let event = self.transcript.events.get(self.next);
        if let Some(told) = event.and_then(pick) {
            self.next = self.next.saturating_add(1);
            return Ok(told);
        }
        let asked = asked(question);
        let recorded = match event {
            Some(event) => format!("the record has {}", name(event)),
            None => "the record has nothing more".into(),
        };
        Err(self.stray(format!("host call {}: it asked for {asked}, where {recorded}", self.next)))
    }

    /// A refusal follows from the grant, so nobody asks for it here.
    fn skip_refusals(&mut self) {
        while let Some(Event::Refused { .. }) = self.transcript.events.get(self.next) {
            self.next = self.next.saturating_add(1);
        }
    }

    fn any<T>(&mut self, question: &Question<'_>, pick: impl Fn(&Event) -> Option<T>) -> Result<Option<T>, Stopped> {
        let found = self.transcript.events.iter().zip(&mut self.told).find_map(|(event, told)| {
            let picked = (!*told).then(|| pick(event)).flatten()?;
            *told = true;
            Some(picked)
        });
        match (found, question.unknown) {
            (Some(found), _) => Ok(Some(found)),
            (None, Unknown::Fine) => Ok(None),
            (None, Unknown::Guess) => {
                self.strayed.get_or_insert_with(|| {
                    format!("it asked for {}, of which the record knows nothing", asked(question))
                });
                Ok(None)
            }
            (None, Unknown::Stop) => {
                Err(self.stray(format!("it asked for {}, of which the record knows nothing", asked(question))))
            }
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.matching == Matching::Exact
    }

    fn stray(&mut self, why: String) -> Stopped {
        let stopped = Stopped::new(StopKind::Trap, format!("the replay left the record: {why}"));
        self.strayed.get_or_insert(why);
        stopped
    }

    pub(super) fn strayed(&mut self) -> Option<String> {
        self.skip_refusals();
        let left = match self.matching {
            Matching::Exact => self.transcript.events.get(self.next),
            Matching::Loose => None,
        };
        if let Some(event) = left {
            let why = format!("host call {}: it ended, where the record has {}", self.next, name(event));
            self.strayed.get_or_insert(why);
        }
        self.strayed.take()
    }
}

fn asked(question: &Question<'_>) -> String {
    match question.about {
        "" => format!("`{}`", question.what),
        about => format!("`{}` of `{}`", question.what, lictor_model::field::shorten(about, 100)),
    }
}

/// What an event is, for a message.
fn name(event: &Event) -> String {
    let (what, about) = match event {
        Event::WallClock { .. } => ("wall-clock.now", ""),
        Event::Monotonic { .. } => ("monotonic-clock.now", ""),
        Event::Random { .. } => ("random", ""),
        Event::Get { key, .. } => ("context.get", key.as_str()),
        Event::Exists { key, .. } => ("context.exists", key.as_str()),
        Event::ListKeys { .. } => ("context.list-keys", ""),
        Event::Set { key, .. } => ("context.set", key.as_str()),
        Event::Delete { key, .. } => ("context.delete", key.as_str()),
        Event::Host { name, .. } => ("host.call", name.as_str()),
        Event::Http { url, .. } => ("http.request", url.as_str()),
        Event::Response { .. } => ("http.response", ""),
        Event::Poll { .. } => ("poll", ""),
        Event::Ready { .. } => ("pollable.ready", ""),
        Event::Read { .. } => ("stream.read", ""),
        Event::CheckWrite { .. } => ("stream.check-write", ""),
        Event::Write { .. } => ("stream.write", ""),
        Event::Refused { grant } => ("refused", grant.as_str()),
    };
    asked(&Question::new(what, Unknown::Stop).about(about))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(matching: Matching) -> Player {
        let get = |key: &str, value: &[u8]| Event::Get { key: key.into(), value: Some(value.to_vec().into()) };
        let refused = Event::Refused { grant: "g".into() };
        let events = vec![get("a", b"1"), refused, get("b", b"2"), get("a", b"3")];
        Player::new(Arc::new(Transcript { events, cut: false }), matching)
    }

    fn get(player: &mut Player, key: &str, unknown: Unknown) -> Result<Option<Vec<u8>>, Stopped> {
        player.told(&Question::new("context.get", unknown).about(key), |event| match event {
            Event::Get { key: of, value: Some(value) } if of == key => Some(value.0.clone()),
            _ => None,
        })
    }

    #[test]
    fn an_exact_replay_asks_for_the_same_in_the_same_order() {
        let mut player = player(Matching::Exact);
        assert_eq!(get(&mut player, "a", Unknown::Stop).unwrap(), Some(b"1".to_vec()));
        let left = get(&mut player, "a", Unknown::Fine).unwrap_err().0.message;
        let why = "host call 2: it asked for `context.get` of `a`, where the record has `context.get` of `b`";
        assert_eq!(left, format!("the replay left the record: {why}"));
        assert_eq!(player.strayed().unwrap(), why);
    }

    #[test]
    fn an_exact_replay_asks_for_everything() {
        let mut player = player(Matching::Exact);
        for key in ["a", "b"] {
            get(&mut player, key, Unknown::Stop).unwrap();
        }
        assert_eq!(player.strayed().unwrap(), "host call 3: it ended, where the record has `context.get` of `a`");
    }

    #[test]
    fn a_loose_replay_asks_in_any_order_and_for_less() {
        let mut player = player(Matching::Loose);
        for (key, value) in [("b", "2"), ("a", "1"), ("a", "3")] {
            assert_eq!(get(&mut player, key, Unknown::Stop).unwrap(), Some(value.into()));
        }
        assert_eq!(get(&mut player, "a", Unknown::Fine).unwrap(), None);
        assert_eq!(player.strayed(), None);
        assert_eq!(get(&mut player, "c", Unknown::Guess).unwrap(), None);
        assert_eq!(player.strayed().unwrap(), "it asked for `context.get` of `c`, of which the record knows nothing");
        assert!(get(&mut player, "c", Unknown::Stop).is_err());
    }
}
