//! Which decisions a command is about.

use std::time::Duration;

use clap::Args;

use super::super::Failure;
use crate::{access::now_ms, decisions::read::Filter};

/// Which decisions are meant: those for which everything holds that is given.
#[derive(Args, Default)]
pub(in crate::cli) struct Wanted {
    /// Of this policy; of those whose uris begin so, with a `*` at the end.
    #[arg(long, value_name = "URI")]
    policy: Option<String>,
    /// Made at this time or later: RFC 3339, such as 2026-11-21T08:00:00Z, or how long ago, such as 7d, 12h, 30m or 10s.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Made before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// That came to this: `ok`, `policy_error`, `timeout`, …
    #[arg(long, value_name = "CODE")]
    outcome: Option<String>,
    /// That were asked for with this token: its id or its name.
    #[arg(long, value_name = "TOKEN")]
    caller: Option<String>,
}

impl Wanted {
    pub(in crate::cli) fn filter(&self) -> Result<Filter, Failure> {
        let Self { policy, since, until, outcome, caller } = self;
        let time = |text: &Option<String>| text.as_deref().map(time_ms).transpose();
        Ok(Filter {
            id: None,
            policy: policy.clone(),
            since_ms: time(since)?,
            until_ms: time(until)?,
            outcome: outcome.clone(),
            caller: caller.clone(),
        })
    }
}

/// A time, as it is or as how long ago it is.
fn time_ms(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "`{text}` is no time: give one such as 2026-11-21T08:00:00Z, or how long ago, such as 7d, 12h, 30m, 10s"
        ))
    };
    if let Some(time) = lictor_model::Time::parse(text) {
        return u64::try_from(time.millis()).map_err(|_| wrong());
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let ago = Duration::from_secs(number.parse::<u64>().map_err(|_| wrong())?.saturating_mul(seconds));
    let now = u64::try_from(now_ms()).unwrap_or(0);
    Ok(now.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))
}
