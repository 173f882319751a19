//! Who may do what: tokens with roles, how much one caller may take, and a record of who changed what.
//!
//! A server that never had a token is open, which it may be on loopback only. From the first one on, each request needs one
//! that is good; revoking them all does not open it again. Tokens are made by `lictor token`, which writes them to the
//! database; whatever is written there holds here within a second.

mod allowance;
mod role;
mod token;
mod trail;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use lictor_model::Digest;
use moka::sync::Cache;
use tokio_util::task::TaskTracker;

use self::allowance::Allowance;
pub use self::{
    allowance::{Rates, Running},
    role::{Permission, Role},
    token::{Token, is_good},
    trail::{Entry, Trail},
};
use crate::{
    config::Config,
    decisions::DecisionId,
    error::{Error, ErrorKind},
    store::{Store, TokenRow},
};

/// How often the tokens are looked at.
const AGAIN: Duration = Duration::from_secs(1);
/// Callers without a token whose requests are counted, by address.
const MAX_STRANGERS: u64 = 100_000;

/// Who may come in. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    parts: Arc<Parts>,
}

struct Parts {
    rates: Rates,
    /// Whether there ever was a token.
    closed: AtomicBool,
    table: ArcSwap<Table>,
    /// Another one with each change of the table.
    generation: AtomicU64,
    strangers: Cache<IpAddr, Option<Arc<Allowance>>>,
}

/// The tokens as they are now.
#[derive(Default)]
struct Table {
    good: Vec<TokenRow>,
    by_digest: HashMap<Digest, Caller>,
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token that was shown, unless the server is open.
    pub token: Option<Arc<Named>>,
    /// What the caller may do.
    pub role: Role,
    allowance: Option<Arc<Allowance>>,
}

/// Who asks for a decision, as far as that is known, and as part of which trace.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// Who makes the request.
    pub caller: Option<Arc<Caller>>,
    /// The id of the token, where nothing else is known of who asked.
    pub token: Option<Box<str>>,
    /// The id of the trace (W3C Trace Context).
    pub trace: Option<Box<str>>,
    /// The id of the first decision that was made for it, which whoever asks is told.
    pub decision: OnceLock<DecisionId>,
}

impl Asker {
    /// The id of the token that was shown, and what that is called.
    pub fn named(&self) -> Option<(&str, Option<&str>)> {
        let shown = self.caller.as_ref().and_then(|caller| caller.token.as_deref());
        let known = shown.map(|token| (token.id.as_str(), Some(token.name.as_str())));
        known.or_else(|| self.token.as_deref().map(|id| (id, None)))
    }
}

/// What a token is spoken of by.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
}

impl Access {
    /// The tokens in `store`, followed from now on.
    pub async fn start(config: &Config, store: Store, tasks: &TaskTracker) -> Result<Self, Error> {
        let access = Self::new(config.rates);
        access.read(&store).await?;
        let loopback = config.listen.ip().is_loopback();
        if !loopback && !config.allow_anonymous && access.parts.table.load().good.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "`listen` is {}, which others can reach, and there are no tokens: make one with `lictor token create NAME --role admin --data-dir DIR`, listen on loopback, or give --allow-anonymous to let anybody in",
                    config.listen
                ),
            ));
        }
        tasks.spawn(access.clone().follow(store));
        Ok(access)
    }

    fn new(rates: Rates) -> Self {
        let parts = Parts {
            rates,
            closed: AtomicBool::new(false),
            table: ArcSwap::default(),
            generation: AtomicU64::new(0),
            strangers: Cache::new(MAX_STRANGERS),
        };
        Self { parts: Arc::new(parts) }
    }

    /// Whether a request needs a token.
    pub fn is_closed(&self) -> bool {
        self.parts.closed.load(Ordering::Relaxed)
    }

    /// A number that changes with every change of what is good.
    pub fn generation(&self) -> u64 {
        self.parts.generation.load(Ordering::Acquire)
    }

    /// Who shows this `Authorization`, or comes from this address without one.
    pub fn caller(&self, authorization: Option<&str>, address: IpAddr) -> Result<Caller, Error> {
        if !self.is_closed() {
            let allowance = self.parts.strangers.get_with(address, || Allowance::of(self.parts.rates));
            return Ok(Caller { token: None, role: Role::Admin, allowance });
        }
        let header = authorization
            .ok_or_else(|| unauthorized("this server needs a token: send `Authorization: Bearer TOKEN`"))?;
        let text = bearer(header).ok_or_else(|| unauthorized("`Authorization` is not `Bearer TOKEN`"))?;
        let table = self.parts.table.load();
        let caller = table.by_digest.get(&token::digest(text)).cloned();
        caller.ok_or_else(|| unauthorized("the token is not known here, was revoked, or has expired"))
    }

    /// Reads the tokens; what is good changes with time also where the rows do not.
    async fn read(&self, store: &Store) -> Result<(), Error> {
        let rows = store.tokens().await?;
        self.take(rows, now_ms());
        Ok(())
    }

    fn take(&self, rows: Vec<TokenRow>, now_ms: i64) {
        let before = self.parts.table.load();
        let closes = !rows.is_empty() && !self.parts.closed.swap(true, Ordering::Relaxed);
        let good: Vec<_> = rows.into_iter().filter(|row| is_good(row, now_ms)).collect();
        if !closes && good == before.good {
            return;
        }
        let callers = good.iter().filter_map(|row| Some((row.digest.parse().ok()?, self.caller_of(row, &before)?)));
        let by_digest = callers.collect();
        self.parts.table.store(Arc::new(Table { good, by_digest }));
        self.parts.generation.fetch_add(1, Ordering::Release);
    }

    /// The caller of a token, who has taken what it took before the tokens changed.
    fn caller_of(&self, row: &TokenRow, before: &Table) -> Option<Caller> {
        let known = row.digest.parse().ok().and_then(|digest: Digest| before.by_digest.get(&digest));
        let allowance = match known {
            Some(known) => known.allowance.clone(),
            None => Allowance::of(self.parts.rates),
        };
        // A role of a later version is none here.
        let role = row.role.parse().ok()?;
        Some(Caller { token: Some(Arc::new(Named { id: row.id.clone(), name: row.name.clone() })), role, allowance })
    }

    async fn follow(self, store: Store) {
        let mut failing = false;
        loop {
            tokio::time::sleep(AGAIN).await;
            match self.read(&store).await {
                Ok(()) => failing = false,
                Err(error) => {
                    // Those that expire meanwhile are no longer good all the same.
                    let known = self.parts.table.load().good.clone();
                    self.take(known, now_ms());
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            error = error.chain(),
                            "the tokens cannot be read: those that were good stay so, and none is revoked"
                        );
                    }
                }
            }
        }
    }
}

impl Caller {
    /// Counts one more request of this caller, if it may have another one.
    pub fn take(&self) -> Result<Option<Running>, Error> {
        self.allowance.as_ref().map(Allowance::take).transpose()
    }

    /// Refuses what the caller's role does not suffice for.
    pub fn must(&self, permission: Permission) -> Result<(), Error> {
        if self.role.may(permission) {
            return Ok(());
        }
        let why = format!(
            "this takes a token of the role {}; this one is `{}`",
            Role::that_may(permission).replace(", ", " or "),
            self.role.name()
        );
        Err(Error::new(ErrorKind::Forbidden, why))
    }

    /// Whether only what it did itself is shown to it.
    pub fn sees_only_its_own(&self) -> bool {
        !self.role.may(Permission::Read)
    }

    /// The id of the token, for records of what it did.
    pub fn id(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.id.as_str())
    }
}

/// The token of an `Authorization` header.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, text) = header.split_once(' ')?;
    let text = text.trim_ascii();
    (scheme.eq_ignore_ascii_case("bearer") && !text.is_empty()).then_some(text)
}

fn unauthorized(why: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, why)
}

/// Milliseconds since 1970. A clock before that is taken for one that was never set.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn row(token: &Token, expires_at_ms: Option<i64>) -> TokenRow {
        token.row("n", Role::Caller, 0, expires_at_ms)
    }

    fn shown(token: &Token) -> String {
        format!("bearer  {}", token.reveal())
    }

    fn role(access: &Access, authorization: Option<&str>) -> Result<Role, ErrorKind> {
        access.caller(authorization, HERE).map(|caller| caller.role).map_err(|error| error.kind())
    }

    #[test]
    fn open_until_the_first_token_and_then_never_again() {
        let (access, token) = (Access::new(Rates::default()), Token::new());
        assert_eq!(role(&access, None), Ok(Role::Admin));
        let row = row(&token, None);
        access.take(vec![row.clone()], 1);
        assert_eq!(role(&access, Some(&shown(&token))), Ok(Role::Caller));
        for wrong in [None, Some("Bearer"), Some("Bearer "), Some("Basic abc"), Some("Bearer lictor_00"), Some("")] {
            assert_eq!(role(&access, wrong), Err(ErrorKind::Unauthorized), "{wrong:?}");
        }
        access.take(vec![TokenRow { revoked_at_ms: Some(2), ..row }], 2);
        assert_eq!(role(&access, Some(&shown(&token))), Err(ErrorKind::Unauthorized));
        access.take(Vec::new(), 3);
        assert_eq!(role(&access, None), Err(ErrorKind::Unauthorized));
    }

    #[test]
    fn one_that_expires_is_good_until_then() {
        let (access, token) = (Access::new(Rates::default()), Token::new());
        let rows = vec![row(&token, Some(10))];
        access.take(rows.clone(), 9);
        let generation = access.generation();
        assert_eq!(role(&access, Some(&shown(&token))), Ok(Role::Caller));
        access.take(rows.clone(), 9);
        assert_eq!(access.generation(), generation);
        access.take(rows, 10);
        assert_ne!(access.generation(), generation);
        assert_eq!(role(&access, Some(&shown(&token))), Err(ErrorKind::Unauthorized));
    }

    #[test]
    fn a_role_that_is_not_known_opens_nothing() {
        let (access, token) = (Access::new(Rates::default()), Token::new());
        access.take(vec![TokenRow { role: "owner".into(), ..row(&token, None) }], 1);
        assert_eq!(role(&access, Some(&shown(&token))), Err(ErrorKind::Unauthorized));
    }

    #[test]
    fn what_a_caller_took_is_not_forgotten_when_tokens_change() {
        let (access, token) = (Access::new(Rates { per_second: 0, at_once: 1 }), Token::new());
        access.take(vec![row(&token, None)], 1);
        let caller = access.caller(Some(&shown(&token)), HERE).unwrap();
        let _running = caller.take().unwrap();
        access.take(vec![row(&token, None), row(&Token::new(), None)], 1);
        let again = access.caller(Some(&shown(&token)), HERE).unwrap();
        assert_eq!(again.take().unwrap_err().kind(), ErrorKind::Busy);
    }

    #[test]
    fn strangers_are_told_apart_by_their_address() {
        let access = Access::new(Rates { per_second: 0, at_once: 1 });
        let caller = |last| access.caller(None, IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).unwrap();
        let _running = caller(1).take().unwrap();
        assert!(caller(1).take().is_err());
        assert!(caller(2).take().is_ok());
    }
}
