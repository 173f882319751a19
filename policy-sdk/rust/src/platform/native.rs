//! The host of a native test: the fakes of this thread.

use crate::Failure;
use crate::http::{Error, Request, Response};
use crate::log::Level;
use crate::testing::fakes::{Line, with_fakes};

#[derive(Debug)]
pub(crate) struct Bucket;

impl Bucket {
    pub(crate) fn open() -> Result<Self, Failure> {
        with_fakes(|fakes| fakes.n_host_calls += 1);
        Ok(Self)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        with_fakes(|fakes| {
            fakes.n_host_calls += 1;
            Ok(fakes.context.get(key).cloned())
        })
    }

    pub(crate) fn set(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        with_fakes(|fakes| {
            fakes.n_host_calls += 1;
            fakes.context.insert(key.to_owned(), bytes.to_owned());
            Ok(())
        })
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), Failure> {
        with_fakes(|fakes| {
            fakes.n_host_calls += 1;
            fakes.context.remove(key);
            Ok(())
        })
    }

    pub(crate) fn contains(&self, key: &str) -> Result<bool, Failure> {
        self.get(key).map(|value| value.is_some())
    }

    pub(crate) fn keys(&self) -> Result<Vec<String>, Failure> {
        with_fakes(|fakes| {
            fakes.n_host_calls += 1;
            Ok(fakes.context.keys().cloned().collect())
        })
    }
}

pub(crate) fn log(level: Level, target: &str, message: &str) {
    let line = Line { level, target: target.to_owned(), message: message.to_owned() };
    with_fakes(|fakes| {
        fakes.n_host_calls += 1;
        fakes.logs.push(line);
    });
}

pub(crate) fn now_ms() -> u64 {
    with_fakes(|fakes| {
        fakes.n_host_calls += 1;
        fakes.now_ms
    })
}

pub(crate) fn call_host(name: &str, args: &str) -> Result<String, Failure> {
    let args = serde_json::from_str(args).map_err(Failure::invalid_data)?;
    // Taken out while it runs: it may itself look at the fakes.
    let function = with_fakes(|fakes| {
        fakes.n_host_calls += 1;
        fakes.functions.remove(name)
    });
    let Some(mut function) = function else {
        return Err(Failure::new("not_available", format!("no host function `{name}`")));
    };
    let answer = function(args);
    with_fakes(|fakes| fakes.functions.insert(name.to_owned(), function));
    answer.map(|value| value.to_string())
}

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    with_fakes(|fakes| {
        fakes.n_host_calls += 1;
        fakes.requests.push(request.clone());
        let route = fakes.routes.iter().find(|route| route.answers(request));
        let denied = || Err(Error::new("HTTP-request-denied", String::new()));
        let response = route.map_or_else(denied, |route| route.answer.clone())?;
        if response.body.len() > request.max_body_bytes {
            return Err(Error::new("HTTP-response-body-size", String::new()));
        }
        Ok(response)
    })
}
