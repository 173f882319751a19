//! What is asked of another executor beside calls of policies: functions and jobs, by the executor's own API.
//!
//! The original's executors answer the first half of it, ours all of it. What an executor does not know how to answer is
//! `not_available`, and names it.

use std::time::Duration;

use bytes::Bytes;
use lictor_loader::{Answer, client::Method};
use lictor_model::{ExecutorSpec, alloc::Estimate};
use serde_json::{Map, Value, json};

use super::{Executors, envelope, proxy::Question};
use crate::{
    checked::Checked,
    error::{Error, ErrorKind},
    functions::{FunctionCall, ManageOptions},
};

/// How long what may have to load a policy may take: fetching it and compiling it, each with all its time.
const LOADING: Duration = Duration::from_secs(200);
/// How long a look at a record or a log may take.
const LOOK: Duration = Duration::from_secs(10);

impl Executors {
    /// Has `to` deploy a function: `POST /deployments`.
    pub async fn deploy_at(&self, to: &ExecutorSpec, body: &Value) -> Result<(), Error> {
        let question = Question { body: Some(text(body)), ..post("/deployments", LOADING) };
        self.parts.proxy.ask(to, question, done).await
    }

    /// Has `to` remove a function: `DELETE /deployments/<name>`. One that is not there any more is fine.
    pub async fn remove_at(&self, to: &ExecutorSpec, name: &str) -> Result<(), Error> {
        let path = format!("/deployments/{}", encoded(name));
        let question = Question { method: Method::DELETE, ..post(&path, LOADING) };
        match self.parts.proxy.ask(to, question, done).await {
            Err(error) if is_gone(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Has `to` call one of its functions: `POST /call_function/<name>`.
    pub async fn call_at(&self, to: &ExecutorSpec, name: &str, call: FunctionCall<'_>) -> Result<Checked, Error> {
        let proxy = &self.parts.proxy;
        let timeout = proxy.timeout(call.timeout_ms);
        let _place = proxy.enter(to, timeout).await?;
        let query = query(true, call.timeout_ms, call.dry_run);
        let path = format!("/call_function/{}{query}", encoded(name));
        let question = Question { body: Some(Bytes::copy_from_slice(call.input.as_bytes())), ..post(&path, timeout) };
        proxy.ask(to, question, envelope::read_checked).await
    }

    /// Has `to` estimate whether a stored policy fits there, as a `deployment` or a `job`: `POST /estimator/estimate`.
    pub async fn estimate_at(&self, to: &ExecutorSpec, policy_rule_uri: &str, kind: &str) -> Result<Estimate, Error> {
        let body = json!({"mode": "stored", "policy_rule_uri": policy_rule_uri, "estimate_type": kind});
        let question = Question { body: Some(text(&body)), ..post("/estimator/estimate", LOADING) };
        self.parts.proxy.ask(to, question, estimate).await
    }

    /// Has `to` carry out a management command: `POST /function/management/<name>`. Returns the whole answer.
    pub async fn manage_at(
        &self,
        to: &ExecutorSpec,
        name: &str,
        body: &Value,
        options: ManageOptions,
    ) -> Result<Map<String, Value>, Error> {
        let query = query(false, options.timeout_ms, options.dry_run);
        let path = format!("/function/management/{}{query}", encoded(name));
        let question = Question { body: Some(text(body)), ..post(&path, LOADING) };
        self.parts.proxy.ask(to, question, known(envelope::read_whole)).await
    }

    /// Has `to` upgrade one of its functions: `POST /function/<name>/upgrade`. Returns the whole answer.
    pub async fn upgrade_at(
        &self,
        to: &ExecutorSpec,
        name: &str,
        body: &Value,
        dry_run: bool,
    ) -> Result<Map<String, Value>, Error> {
        let path = format!("/function/{}/upgrade{}", encoded(name), query(false, None, dry_run));
        let question = Question { body: Some(text(body)), ..post(&path, LOADING) };
        self.parts.proxy.ask(to, question, known(envelope::read_whole)).await
    }

    /// What a function of `to` said: `GET /get_function_logs/<name>?tail=`.
    pub async fn logs_at(&self, to: &ExecutorSpec, name: &str, tail: Option<u64>) -> Result<String, Error> {
        let tail = tail.map(|tail| format!("?tail={tail}")).unwrap_or_default();
        let path = format!("/get_function_logs/{}{tail}", encoded(name));
        match self.parts.proxy.ask(to, get(&path), envelope::read_data).await? {
            Value::String(text) => Ok(text),
            other => Ok(other.to_string()),
        }
    }

    /// Has `to` run a job, whose id is in the body: `POST /create_job`.
    pub async fn create_job_at(&self, to: &ExecutorSpec, body: &Value) -> Result<(), Error> {
        let question = Question { body: Some(text(body)), ..post("/create_job", LOOK) };
        self.parts.proxy.ask(to, question, done).await
    }

    /// The record of a job that `to` was given: `GET /jobs/<id>`. None if it has none, or keeps none.
    pub async fn job_at(&self, to: &ExecutorSpec, job_id: &str) -> Result<Option<Map<String, Value>>, Error> {
        let path = format!("/jobs/{}", encoded(job_id));
        match self.parts.proxy.ask(to, get(&path), known(envelope::read_data)).await {
            Ok(Value::Object(record)) => Ok(Some(record)),
            Ok(_) => Err(Error::new(ErrorKind::Unreachable, format!("the executor `{}` answered with no job", to.id))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotAvailable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has `to` cancel a job: `POST /jobs/<id>/cancel`.
    pub async fn cancel_job_at(&self, to: &ExecutorSpec, job_id: &str) -> Result<(), Error> {
        let path = format!("/jobs/{}/cancel", encoded(job_id));
        let question = Question { body: Some(Bytes::from_static(b"{}")), ..post(&path, LOOK) };
        self.parts.proxy.ask(to, question, known(done)).await
    }
}

fn post(path: &str, patience: Duration) -> Question<'_> {
    Question { method: Method::POST, path, body: None, patience }
}

fn get(path: &str) -> Question<'_> {
    Question { method: Method::GET, ..post(path, LOOK) }
}

/// The options of a call as a query string.
fn query(usage: bool, timeout_ms: Option<u64>, dry_run: bool) -> String {
    let timeout_ms = timeout_ms.map(|ms| format!("&timeout_ms={ms}")).unwrap_or_default();
    format!("?usage={}{timeout_ms}{}", u8::from(usage), if dry_run { "&dry_run=1" } else { "" })
}

fn text(body: &Value) -> Bytes {
    body.to_string().into()
}

/// A success, whatever it says.
fn done(name: &str, answer: &Answer) -> Result<(), Error> {
    envelope::read_data(name, answer).map(drop)
}

/// An estimate. That something does not fit is an answer with the status of a success, which says why.
fn estimate(name: &str, answer: &Answer) -> Result<Estimate, Error> {
    match envelope::read_data(name, answer) {
        Ok(data) => Estimate::parse(&data)
            .map_err(|why| Error::new(ErrorKind::Upstream, format!("{name} answered an estimate with {why}"))),
        Err(error) if answer.status == 200 && matches!(error.kind(), ErrorKind::Busy | ErrorKind::Upstream) => {
            let reason = Some(error.message().to_owned());
            Ok(Estimate { allowed: false, node_id: Value::Null, reason })
        }
        Err(error) => Err(error),
    }
}

/// Reads by `read` what an executor of our kind answers; one of the original's has no such route, and says so in a page.
fn known<T>(read: impl FnOnce(&str, &Answer) -> Result<T, Error>) -> impl FnOnce(&str, &Answer) -> Result<T, Error> {
    move |name, answer| {
        let is_page = || !answer.body.trim_ascii_start().starts_with(b"{");
        if matches!(answer.status, 404 | 405) && is_page() {
            let why = format!("{name} cannot do this: it has no such route, as executors of the original have none");
            return Err(Error::new(ErrorKind::NotAvailable, why));
        }
        read(name, answer)
    }
}

/// Whether it says that there is no such function: Kubernetes' words reach us through the original.
fn is_gone(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound => true,
        ErrorKind::Upstream => error.message().contains("(404)"),
        _ => false,
    }
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    let mut res = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => res.push(char::from(byte)),
            other => res.push_str(&format!("%{other:02X}")),
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, etag: None, retry_after: None, body: body.to_owned().into() }
    }

    #[test]
    fn a_name_is_one_segment() {
        for (name, segment) in [("check-ip_fn.1", "check-ip_fn.1"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("é 1", "%C3%A9%201")]
        {
            assert_eq!(encoded(name), segment);
        }
    }

    #[test]
    fn a_page_instead_of_an_answer_is_what_cannot_be_done() {
        let read = |status, body: &str| known(done)("the executor `e`", &answer(status, body)).map_err(|e| e.kind());
        assert_eq!(read(404, "<!doctype html>"), Err(ErrorKind::NotAvailable));
        assert_eq!(read(405, ""), Err(ErrorKind::NotAvailable));
        assert_eq!(read(404, r#"{"success":false,"message":"Function not found."}"#), Err(ErrorKind::NotFound));
        assert_eq!(read(502, "<html>"), Err(ErrorKind::Unreachable));
        assert_eq!(read(201, r#"{"success":true,"message":"Job 'n' created successfully."}"#), Ok(()));
    }

    #[test]
    fn an_estimate_is_read_from_either_kind_of_executor() {
        let read = |status, body: &str| estimate("e", &answer(status, body));
        let fits = read(200, r#"{"success":true,"data":{"allowed":true,"node_id":"n1"}}"#).unwrap();
        assert_eq!((fits.allowed, fits.node_id), (true, json!("n1")));
        for body in [
            r#"{"success":false,"error":"no node has 4 GPUs"}"#,
            r#"{"success":false,"code":"busy","message":"no node has 4 GPUs","data":{"allowed":false,"node_id":null}}"#,
        ] {
            let estimate = read(200, body).unwrap();
            assert!(!estimate.allowed && estimate.reason.unwrap().contains("4 GPUs"), "{body}");
        }
        assert_eq!(read(500, r#"{"success":false,"message":"m"}"#).unwrap_err().kind(), ErrorKind::Upstream);
        assert_eq!(read(200, r#"{"success":true,"data":{}}"#).unwrap_err().kind(), ErrorKind::Upstream);
    }

    #[test]
    fn one_that_is_gone_is_removed() {
        for (status, body, gone) in [
            (404, r#"{"success":false,"code":"not_found","message":"m"}"#, true),
            (500, r#"{"success":false,"error":"(404)\nReason: Not Found"}"#, true),
            (500, r#"{"success":false,"error":"(409)\nReason: Conflict"}"#, false),
        ] {
            assert_eq!(is_gone(&done("e", &answer(status, body)).unwrap_err()), gone, "{body}");
        }
    }
}
