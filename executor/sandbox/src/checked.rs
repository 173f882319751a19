//! A call between the checks of its policy's schemas.
//!
//! Everything that calls a policy under a record goes through [`run`]: what the call brings is checked before anything of
//! the guest runs, and its answer before anybody sees it. What does not match is a warning or, under `enforce`, the
//! outcome. A policy without schemas, or with `schema_mode` off, pays nothing.

use std::{sync::Arc, time::Instant};

use lictor_model::{Outcome, SchemaMode, Schemas, Stop, StopKind, Usage, Violation, schema::LARGE};

use crate::{Op, Run};

/// Violations that a line of the log names.
const LOGGED: usize = 5;

/// What came of a call, and what about it did not match.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What came of it.
    pub run: Run,
    /// What did not match, where that is only warned about.
    pub warnings: Vec<Violation>,
}

/// Drives `call`, which asks `op` of a policy that has these schemas.
///
/// CANCEL: a call that is dropped meanwhile takes the checks along, but for one that is under way on another thread, which
/// ends by itself.
pub async fn run<E>(
    schemas: &Arc<Schemas>,
    op: Op<'_>,
    call: impl Future<Output = Result<Run, E>>,
) -> Result<Checked, E> {
    if schemas.is_empty() {
        return Ok(Checked { run: call.await?, warnings: Vec::new() });
    }
    let started = Instant::now();
    let mut warnings = match op {
        Op::Init | Op::Save | Op::Restore { .. } => Vec::new(),
        Op::Eval { parameters, input } => check(schemas, input, parameters, Schemas::question).await,
        Op::Management { action, data } => check(schemas, data, Some(action), command).await,
    };
    let enforced = schemas.mode() == SchemaMode::Enforce;
    if enforced && !warnings.is_empty() {
        let stop = Stop::violating(StopKind::InputSchema, "what the call brings", warnings);
        let usage = Usage { wall_us: micros(started), ..Usage::default() };
        return Ok(Checked { run: Run::new(Outcome::Stopped(stop), usage), warnings: Vec::new() });
    }
    let mut run = call.await?;
    if let (Op::Eval { .. }, Outcome::Finished(output)) = (op, &run.outcome) {
        let wrong = check(schemas, output, None, |schemas, output, _| schemas.answer(output)).await;
        if enforced && !wrong.is_empty() {
            run.outcome = Outcome::Stopped(Stop::violating(StopKind::OutputSchema, "the policy's answer", wrong));
        } else {
            warnings.extend(wrong);
        }
    }
    Ok(Checked { run, warnings })
}

fn command(schemas: &Schemas, data: &str, action: Option<&str>) -> Vec<Violation> {
    schemas.command(action.unwrap_or_default(), data)
}

/// What is wrong with a text, and with another one beside it.
pub type Check = fn(&Schemas, &str, Option<&str>) -> Vec<Violation>;

/// Checks on this thread what is small, and what is large on one where it holds up nobody.
pub async fn check(schemas: &Arc<Schemas>, text: &str, beside: Option<&str>, check: Check) -> Vec<Violation> {
    if text.len().saturating_add(beside.map_or(0, str::len)) <= LARGE {
        return check(schemas, text, beside);
    }
    // PERF: boxed, so that the future of a call with small documents stays small.
    Box::pin(elsewhere(Arc::clone(schemas), text.to_owned(), beside.map(str::to_owned), check)).await
}

async fn elsewhere(schemas: Arc<Schemas>, text: String, beside: Option<String>, check: Check) -> Vec<Violation> {
    let checking = tokio::task::spawn_blocking(move || check(&schemas, &text, beside.as_deref()));
    let failed = |_| vec![Violation { path: "document".into(), message: "could not be checked".into() }];
    checking.await.unwrap_or_else(failed)
}

/// Checks what an instance is constructed with, where that is not what its record says: what does not match, or the stop
/// that it is under `enforce`.
pub fn construction(
    schemas: &Schemas,
    settings: Option<&str>,
    parameters: Option<&str>,
) -> Result<Vec<Violation>, Stop> {
    let mut wrong = settings.map_or_else(Vec::new, |settings| schemas.settings(settings));
    wrong.extend(parameters.into_iter().flat_map(|parameters| schemas.parameters(parameters)));
    if schemas.mode() == SchemaMode::Enforce && !wrong.is_empty() {
        return Err(Stop::violating(StopKind::InputSchema, "what the policy is constructed with", wrong));
    }
    Ok(wrong)
}

/// Some of the violations as one line.
pub fn line(violations: &[Violation]) -> String {
    let mut res = violations.iter().take(LOGGED).map(Violation::to_string).collect::<Vec<_>>().join("; ");
    if let n @ 1.. = violations.len().saturating_sub(LOGGED) {
        res.push_str(&format!("; and {n} more"));
    }
    res
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;

    fn schemas(mode: &str) -> Arc<Schemas> {
        let record = json!({
            "schema_mode": mode,
            "policy_input_schema": {"n": {"type": "number"}},
            "policy_output_schema": {"m": {"type": "number", "required": true}},
            "policy_parameters_schema": {"p": {"type": "number"}},
            "management_commands_schema": [{"name": "set", "schema": {"v": {"type": "number"}}}],
        });
        Arc::new(Schemas::parse(record.as_object().unwrap()).unwrap().0)
    }

    /// The outcome's code, the paths of its violations or of the warnings, and whether the guest was run.
    fn call(mode: &str, op: Op<'_>, output: &str) -> (&'static str, Vec<String>, bool) {
        let mut ran = false;
        let guest = async {
            ran = true;
            Ok::<_, Infallible>(Run::new(Outcome::Finished(output.into()), Usage::default()))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Ok(Checked { run, warnings }) = runtime.block_on(run(&schemas(mode), op, guest));
        let violations = match &run.outcome {
            Outcome::Stopped(stop) => &stop.violations,
            _ => &warnings,
        };
        (run.outcome.code(), violations.iter().map(|violation| violation.path.clone()).collect(), ran)
    }

    #[test]
    fn the_mode_decides_what_becomes_of_a_call() {
        let (good, bad, no) = (r#"{"n":1,"m":1}"#, r#"{"n":"x"}"#, None);
        let large = format!(r#"{{"n":"{}"}}"#, "x".repeat(2 * LARGE));
        for (mode, input, parameters, output, code, paths, ran) in [
            ("warn", good, no, good, "ok", &[][..], true),
            ("warn", bad, Some(r#"{"p":"x"}"#), bad, "ok", &["input_data.n", "parameters.p", "output.m"], true),
            ("warn", large.as_str(), no, good, "ok", &["input_data.n"], true),
            ("off", bad, no, bad, "ok", &[], true),
            ("enforce", good, no, good, "ok", &[], true),
            ("enforce", bad, Some(r#"{"p":"x"}"#), good, "input_schema", &["input_data.n", "parameters.p"], false),
            ("enforce", &large, no, good, "input_schema", &["input_data.n"], false),
            ("enforce", good, no, bad, "output_schema", &["output.m"], true),
        ] {
            let shown: String = input.chars().take(30).collect();
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(call(mode, Op::Eval { parameters, input }, output), (code, paths, ran), "{mode} {shown}");
        }
    }

    #[test]
    fn a_management_command_is_checked_and_its_answer_is_free() {
        for (mode, action, data, code, ran) in [
            ("enforce", "set", r#"{"v":1}"#, "ok", true),
            ("enforce", "set", r#"{"v":"x"}"#, "input_schema", false),
            ("warn", "set", r#"{"v":"x"}"#, "ok", true),
            ("enforce", "other", r#"{"v":"x"}"#, "ok", true),
        ] {
            let (found, _, did) = call(mode, Op::Management { action, data }, "5");
            assert_eq!((found, did), (code, ran), "{mode} {action} {data}");
        }
    }

    #[test]
    fn a_line_is_short() {
        let one = Violation { path: "a".into(), message: "is required".into() };
        assert_eq!(line(&vec![one.clone(); 2]), "`a` is required; `a` is required");
        assert!(line(&vec![one; 100]).ends_with("; and 95 more"));
    }
}
