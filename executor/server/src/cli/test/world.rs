//! What a case's policy meets instead of the world: answers to its requests and from the application's functions, and an
//! ear for its log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lictor_model::{Capabilities, Failure, Origin, difference::same, json};
use lictor_sandbox::{Canned, LogLine, Recorder};

use super::fixtures::{Function, FunctionFailure, Route};

/// Log lines of a case that are kept, to be shown if it fails.
const MAX_LINES: usize = 50;

/// The answers of one case, and what its policy said.
pub(super) struct World {
    routes: Vec<Route>,
    functions: Vec<Function>,
    said: Mutex<Vec<String>>,
}

impl World {
    pub(super) fn new(routes: &[Route], functions: &[Function]) -> Self {
        Self { routes: routes.to_vec(), functions: functions.to_vec(), said: Mutex::default() }
    }

    /// Everything that the routes and functions need, and the context.
    pub(super) fn grants(&self) -> Result<Capabilities, String> {
        let origins = self.routes.iter().map(|route| origin(&route.url));
        let host = self.functions.iter().map(|function| function.name.clone()).collect();
        Ok(Capabilities { http: origins.collect::<Result<_, _>>()?, host, ..Capabilities::default() })
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the policy said.
    pub(super) fn said(&self) -> Vec<String> {
        self.lines().clone()
    }
}

impl Recorder for World {
    fn log(&self, line: LogLine<'_>) {
        let mut lines = self.lines();
        match lines.len() {
            MAX_LINES => lines.push("  log: there is more".into()),
            n if n < MAX_LINES => {
                lines.push(format!("  log: [{}] {}: {}", line.level.as_str(), line.context, line.message));
            }
            _ => {}
        }
    }

    fn answer(&self, method: &str, url: &str) -> Option<Canned> {
        let fits = |route: &&Route| {
            as_sent(&route.url) == url && route.method.as_ref().is_none_or(|expected| expected == method)
        };
        Some(match self.routes.iter().find(fits) {
            // Never the network: what a case does not describe does not exist.
            None => Canned::Error("HTTP-request-denied".into()),
            Some(Route { error: Some(code), .. }) => Canned::Error(code.clone()),
            Some(Route { status, body, .. }) => Canned::Response {
                status: *status,
                headers: vec![("content-type".into(), "application/json".into())],
                body: body.to_string().into_bytes(),
            },
        })
    }

    fn answer_host(&self, name: &str, args: &str) -> Option<Result<String, Failure>> {
        let args = json::parse(args).unwrap_or_default();
        let fits = |function: &&Function| {
            function.name == name && function.args.as_ref().is_none_or(|expected| same(expected, &args))
        };
        self.functions.iter().find(fits).map(answered)
    }
}

fn answered(function: &Function) -> Result<String, Failure> {
    match &function.failure {
        None => Ok(function.answer.to_string()),
        Some(FunctionFailure { code, message }) => {
            Err(Failure { code: code.clone(), message: message.clone(), details: None })
        }
    }
}

/// The URL as it is when it has been sent: with a path, and without a fragment.
fn as_sent(url: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{host}{slash}{path}")
}

fn origin(url: &str) -> Result<Origin, String> {
    let end = url.find("://").and_then(|start| {
        let rest = url.get(start + 3..)?;
        Some(start + 3 + rest.find(['/', '?', '#']).unwrap_or(rest.len()))
    });
    let origin = end.and_then(|end| url.get(..end)).unwrap_or(url);
    Origin::parse(origin).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world(routes: serde_json::Value) -> World {
        World::new(&serde_json::from_value::<Vec<Route>>(routes).unwrap(), &[])
    }

    #[test]
    fn the_first_function_that_fits_answers() {
        let functions = json!([
            {"name": "f", "args": {"n": 1}, "answer": 1},
            {"name": "f", "failure": {"code": "c", "message": "m"}},
            {"name": "g"},
        ]);
        let world = World::new(&[], &serde_json::from_value::<Vec<Function>>(functions).unwrap());
        let ask = |name, args| world.answer_host(name, args).map(|answer| answer.map_err(|failure| failure.code));
        assert_eq!(ask("f", r#"{"n": 1.0}"#), Some(Ok("1".into())));
        assert_eq!(ask("f", "{}"), Some(Err("c".into())));
        assert_eq!(ask("g", "5"), Some(Ok("null".into())));
        assert_eq!(ask("h", "{}"), None);
        assert_eq!(world.grants().unwrap().host, ["f", "f", "g"]);
    }

    #[test]
    fn the_first_route_that_fits_answers_and_nothing_goes_out() {
        let world = world(json!([
            {"url": "https://a.com/x?y", "method": "POST", "status": 201},
            {"url": "https://a.com/x?y", "body": {"n": 1}},
            {"url": "http://b.com:8080", "error": "connection-refused"},
        ]));
        let status = |method: &str, url: &str| match world.answer(method, url).unwrap() {
            Canned::Response { status, .. } => status.to_string(),
            Canned::Error(code) => code,
        };
        assert_eq!(status("POST", "https://a.com/x?y"), "201");
        assert_eq!(status("GET", "https://a.com/x?y"), "200");
        assert_eq!(status("GET", "http://b.com:8080/"), "connection-refused");
        assert_eq!(status("GET", "https://a.com/x"), "HTTP-request-denied");
        let granted = ["https://a.com", "https://a.com", "http://b.com:8080"].map(|text| Origin::parse(text).unwrap());
        assert_eq!(world.grants().unwrap().http, granted);
    }

    #[test]
    fn a_route_needs_an_origin() {
        for url in ["a.com/x", "ftp://a.com/", "https://u@a.com/", "https:///x", ""] {
            assert!(world(json!([{ "url": url }])).grants().is_err(), "{url}");
        }
    }
}
