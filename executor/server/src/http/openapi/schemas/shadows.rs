//! Candidates beside a policy.

use serde_json::Value;
use utoipa::ToSchema;

/// Which candidate, and how many calls it gets.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ShadowBody {
    /// The `policy_rule_uri` of another policy.
    #[schema(example = "ip_allowlist:1.1-beta")]
    candidate: String,
    /// So many of a hundred calls are put before it, chosen at random; all if this is absent.
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    sample_percent: Option<u8>,
}

/// A candidate, and what came of it on all servers of one database.
#[derive(ToSchema)]
pub(in crate::http) struct ShadowRecord {
    policy_rule_uri: String,
    candidate: String,
    #[schema(minimum = 1, maximum = 100)]
    sample_percent: u8,
    /// When it was put there: RFC 3339, in UTC.
    #[schema(format = DateTime)]
    since: String,
    /// Calls of which there are two outcomes: those that agreed, and those that disagreed.
    compared: u64,
    agreed: u64,
    disagreed: u64,
    /// Calls that the candidate could not be asked about, most often because its code cannot be loaded.
    candidate_failed: u64,
    /// Calls that were not compared because too many were waiting.
    dropped: u64,
    /// The last of those that disagreed or failed, the newest at the end.
    #[schema(max_items = 20)]
    disagreements: Vec<Disagreement>,
}

/// A call that the candidate answered otherwise, or not at all.
#[derive(ToSchema)]
struct Disagreement {
    /// When it was seen.
    #[schema(format = DateTime)]
    at: String,
    /// The input, or, where its text is longer than 4 KiB or deeper than 64 levels, the beginning of that.
    #[schema(required = true)]
    input: Value,
    current: OneOutcome,
    candidate: OneOutcome,
    /// The first places where two answers differ, such as `$.allowed`; none where the outcomes are not both answers.
    #[schema(max_items = 5)]
    paths: Vec<String>,
}

/// What came of a call.
#[derive(ToSchema)]
struct OneOutcome {
    /// `ok`, `policy_error`, what stopped it, or why the candidate could not be asked.
    outcome: String,
    /// The answer, or, where its text is longer than 4 KiB or deeper than 64 levels, the beginning of that. Of `ok`.
    answer: Option<Value>,
    /// Why there is no answer.
    #[schema(nullable = false)]
    message: Option<String>,
    /// The policy's own account. Of `policy_error`.
    #[schema(nullable = false)]
    failure: Option<OwnAccount>,
}

#[derive(ToSchema)]
struct OwnAccount {
    code: String,
    #[schema(required = true)]
    details: Value,
}
