//! Which instance serves which stream.

use std::collections::VecDeque;

use lictor_policy::Failure;
use serde::{Deserialize, Serialize};

/// How many streams are remembered. The one that was assigned longest ago is forgotten for a new one.
const MAX_STREAMS: usize = 1024;

/// Session ids and instance ids, in the order they were assigned.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Streams(VecDeque<(String, String)>);

impl Streams {
    /// The instance of a session: the one it has, as long as that one is among `instances`, or else the one chosen.
    pub(crate) fn assign(
        &mut self,
        session_id: &str,
        instances: &[String],
        choose: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<String, Failure> {
        let known = self.0.iter().find(|(session, _)| session == session_id);
        if let Some((_, instance)) = known.filter(|(_, instance)| instances.contains(instance)) {
            return Ok(instance.clone());
        }
        let chosen = choose()?;
        self.0.retain(|(session, _)| session != session_id);
        if self.0.len() >= MAX_STREAMS {
            self.0.pop_front();
        }
        self.0.push_back((session_id.to_owned(), chosen.clone()));
        Ok(chosen)
    }
}
