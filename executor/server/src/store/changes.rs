//! What other processes change on the same PostgreSQL: each transaction that changes a record says so, and a task
//! listens to what the others say.
//!
//! Nothing is missed silently. A connection that was lost, or that fell silent, is replaced within about a second, and
//! then anything may have changed; so may it for a reader that is too far behind.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Executor as _,
    postgres::{PgListener, PgNotification, PgPoolOptions},
};
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Kind, Store, db::Tx, location::Server, terms::decode};
use crate::error::Error;

/// Changes that a reader may be behind.
const MAX_BEHIND: usize = 1024;
/// Where all of us say what they change.
const CHANNEL: &str = "lictor";
/// What PostgreSQL takes in one message is 8000 bytes.
const MAX_MESSAGE: usize = 7900;
/// How long the connection may be silent, and how long it then has to show that it is there.
const SILENCE: Duration = Duration::from_millis(500);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(300);
/// How long one try may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Something that another process changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This record was made, changed or removed.
    One(Kind, String),
    /// Something in the context of the policy with this uri.
    Context(String),
    /// Nobody knows what: anything may have changed.
    All,
}

/// The changes that other processes make.
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
    closed: CancellationToken,
}

/// Where changes come from.
#[derive(Clone)]
pub(super) struct Feed {
    sender: broadcast::Sender<Change>,
    /// This process among those that share the database.
    me: Arc<str>,
    closed: CancellationToken,
}

impl Changes {
    /// The next change; none once the store is closed.
    pub async fn next(&mut self) -> Option<Change> {
        let next = tokio::select! {
            () = self.closed.cancelled() => return None,
            next = self.receiver.recv() => next,
        };
        match next {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Change::All),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Store {
    /// What other processes change from now on. On SQLite there are none. As many may listen as want to.
    pub fn changes(&self) -> Changes {
        Changes { receiver: self.feed.sender.subscribe(), closed: self.feed.closed.clone() }
    }

    /// Tells the others, when the transaction is committed, that a record changed. The id is encoded.
    pub(super) async fn announce(&self, tx: &mut Tx, kind: Kind, id: &str) -> Result<(), Error> {
        self.feed.tell(tx, kind.name(), id).await
    }

    /// Tells the others, when the transaction is committed, that a policy's context changed. The uri is encoded.
    pub(super) async fn announce_context(&self, tx: &mut Tx, uri: &str) -> Result<(), Error> {
        self.feed.tell(tx, "context", uri).await
    }
}

impl Feed {
    pub(super) fn new() -> Self {
        let me = uuid::Uuid::now_v7().to_string().into();
        Self { sender: broadcast::Sender::new(MAX_BEHIND), me, closed: CancellationToken::new() }
    }

    /// Starts a task that ends when the store is closed.
    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed.clone();
        tokio::spawn(async move { closed.run_until_cancelled(task).await });
    }

    /// Ends all that listen.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    async fn tell(&self, tx: &mut Tx, what: &str, id: &str) -> Result<(), Error> {
        if !tx.is_postgres() {
            return Ok(());
        }
        let mut message = format!("{}/{what}/{id}", self.me);
        if MAX_MESSAGE < message.len() {
            message = format!("{}/all/", self.me);
        }
        tx.fetch("SELECT pg_notify($1, $2)", &[CHANNEL.into(), (&message).into()]).await.map(drop)
    }

    /// Listens for ever.
    pub(super) async fn listen(self, server: Server) {
        let mut lost = false;
        loop {
            let Err(why) = self.hear(&server, &mut lost).await;
            if !std::mem::replace(&mut lost, true) {
                tracing::warn!(error = why, "the changes of other processes are not heard; trying again");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Passes on what the others say, as long as the connection holds.
    async fn hear(&self, server: &Server, lost: &mut bool) -> Result<std::convert::Infallible, String> {
        let why = |error: sqlx::Error| error.to_string();
        // A pool of its own: what became of a connection that fell silent must not keep the next from being made.
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
        let pool = pool.connect_lazy_with(server.options().clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(why)?;
        listener.eager_reconnect(false);
        let listening = timeout(CONNECT, listener.listen(CHANNEL)).await;
        listening.map_err(|_| "the database does not answer")?.map_err(why)?;
        if std::mem::take(lost) {
            tracing::info!("the changes of other processes are heard again");
        }
        self.sender.send(Change::All).ok();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(message))) => self.pass_on(&message),
                Ok(Ok(None)) => return Err("the connection was closed".into()),
                Ok(Err(error)) => return Err(why(error)),
                Err(_) => {
                    let answer = timeout(SILENCE, (&mut listener).execute("SELECT 1")).await;
                    answer.map_err(|_| "the database fell silent")?.map_err(why)?;
                }
            }
        }
    }

    fn pass_on(&self, message: &PgNotification) {
        // Who listens to nothing is told nothing.
        self.change(message.payload()).map(|change| self.sender.send(change).ok());
    }

    /// What a message says, if another process sent it.
    fn change(&self, message: &str) -> Option<Change> {
        let mut parts = message.splitn(3, '/');
        let (who, what, id) = (parts.next()?, parts.next()?, decode(parts.next()?).into_owned());
        if who == &*self.me {
            return None;
        }
        Some(match what {
            "context" => Change::Context(id),
            _ => {
                Kind::ALL.into_iter().find(|kind| kind.name() == what).map_or(Change::All, |kind| Change::One(kind, id))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_another_process_changed() {
        let feed = Feed::new();
        for (message, expected) in [
            ("x/policy/a:1-b", Some(Change::One(Kind::Policy, "a:1-b".into()))),
            ("x/job/a/b", Some(Change::One(Kind::Job, "a/b".into()))),
            ("x/context/a:1-b", Some(Change::Context("a:1-b".into()))),
            ("x/all/", Some(Change::All)),
            ("x/of a later version/y", Some(Change::All)),
            ("nonsense", None),
        ] {
            assert_eq!(feed.change(message), expected, "{message}");
        }
        assert_eq!(feed.change(&format!("{}/policy/a:1-b", feed.me)), None);
    }
}
