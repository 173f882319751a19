//! The events of a job, as `text/event-stream` has them.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use crate::jobs::{Event, Watch};

/// How long nothing is sent at most, so that whoever is in between keeps the connection.
const SILENCE: Duration = Duration::from_secs(15);

/// What is watched, and until when.
struct Events {
    watch: Watch,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Events that were sent.
    sent: u64,
}

/// The events of `watch`, which end with the job, or when `stopped` is over.
pub(super) fn of(
    watch: Watch,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let events = Events { watch, stopped: Box::pin(stopped), sent: 0 };
    let pieces = stream::unfold(events, |mut events| async move {
        let pieces = events.next().await?;
        Some((stream::iter(pieces), events))
    });
    pieces.flatten()
}

/// The text of a record, which all who watch a job share.
struct Shared(Arc<str>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Events {
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        tokio::select! {
            event = self.watch.next() => event.map(|event| self.written(event)),
            () = tokio::time::sleep(SILENCE) => Some(vec![Bytes::from_static(b": keep-alive\n\n")]),
            () = &mut self.stopped => None,
        }
    }

    /// A record has no line breaks outside of its texts, and none as such inside.
    fn written(&mut self, event: Event) -> Vec<Bytes> {
        self.sent += 1;
        let head = format!("event: status\nid: {}\ndata: ", self.sent);
        vec![head.into(), Bytes::from_owner(Shared(event.document)), Bytes::from_static(b"\n\n")]
    }
}
