//! Whether a job is tried again, and when.

use super::Job;

/// The first pause, and the longest, in milliseconds.
const FIRST: u64 = 1000;
const LONGEST: u64 = 60_000;
/// How often trouble that is not the policy's is tried again at least.
const OURS: u64 = 4;

/// Whose fault a failed attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The policy's: it is tried again as often as its author says.
    Policy,
    /// Nobody's who submitted it: something was busy, or could not be reached. It is tried again by itself.
    Circumstances,
    /// What it was asked for cannot be done, now or later.
    Lasting,
}

impl Job {
    /// Whether there is another attempt after the last one failed.
    pub fn may_retry(&self, blame: Blame) -> bool {
        let retries = match blame {
            Blame::Policy => self.submit.backoff_limit,
            Blame::Circumstances => self.submit.backoff_limit.max(OURS),
            Blame::Lasting => 0,
        };
        self.attempts <= retries
    }
}

/// How long to wait after so many attempts, in milliseconds: twice as long each time, and a little longer by `random`,
/// so that what failed together is not tried again together.
pub fn pause_ms(attempts: u64, random: u64) -> u64 {
    let doubled = attempts.saturating_sub(1).min(16);
    let pause = FIRST.saturating_mul(1 << doubled).min(LONGEST);
    pause + random % (pause / 5).max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{Submit, Time},
        *,
    };

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (0..10).map(|n| pause_ms(n, 0)).collect();
        assert_eq!(pauses, [1000, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
        for random in [1, 7, 1 << 40, u64::MAX] {
            assert!((1000..1200).contains(&pause_ms(1, random)), "{random}");
        }
        assert!(pause_ms(u64::MAX, u64::MAX) < 72_000);
    }

    #[test]
    fn it_is_tried_again_as_often_as_it_may_be() {
        for (limit, blame, attempts) in [
            (0, Blame::Policy, 1),
            (2, Blame::Policy, 3),
            (0, Blame::Circumstances, 5),
            (7, Blame::Circumstances, 8),
            (7, Blame::Lasting, 1),
        ] {
            let submit = json!({"name": "n", "policy_rule_uri": "a:1-b", "backoff_limit": limit});
            let now = Time::from_millis(0);
            let mut job = Job::new("j".into(), Submit::parse(submit).unwrap(), "e".into(), 0, now);
            job.start(now);
            while job.may_retry(blame) {
                job.start(now);
            }
            assert_eq!(job.attempts, attempts, "{limit} {blame:?}");
        }
    }
}
