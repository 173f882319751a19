//! `lictor:policy/host`: the functions of a host application.

use lictor_model::{field::shorten, json};
use wasmtime::Result;

use super::bindings::lictor::policy::{
    host::Host,
    types::{self, Failure},
};
use crate::{
    host::{accept, failure},
    state::State,
    tape::{Event, Question, Unknown},
};

impl Host for State {
    async fn call(&mut self, name: String, args: String) -> Result<Result<String, Failure>> {
        self.check_host_calls()?;
        Ok(self.ask_host(&name, args).await?.map_err(Failure::from))
    }
}

impl State {
    async fn ask_host(&mut self, name: &str, args: String) -> Result<Result<String, lictor_model::Failure>> {
        if !self.grant.permits_host(name) {
            let shown = shorten(name, 60);
            self.denied(&format!("`capabilities.host` with `{shown}`"));
            let message = format!("the policy was not granted the host function `{shown}`");
            return Ok(Err(failure("denied_capability", message)));
        }
        if let Err(error) = json::check(&args) {
            return Ok(Err(failure("invalid_input", format!("what the host function is given {error}"))));
        }
        let question = Question::new("host.call", Unknown::Stop).about(name);
        let told = self.tape.told(&question, |event| match event {
            Event::Host { name: of, args: with, told } if of == name && *with == args => Some(told.clone()),
            _ => None,
        })?;
        if let Some(told) = told {
            return Ok(told.into());
        }
        let answer = match self.recorder.answer_host(name, &args) {
            Some(answer) => accept(name, answer),
            None => self.functions.call(name, args.clone()).await,
        };
        self.tape.note(|| Event::Host { name: name.to_owned(), args, told: answer.clone().into() });
        Ok(answer)
    }
}

impl From<lictor_model::Failure> for Failure {
    fn from(failure: lictor_model::Failure) -> Self {
        let lictor_model::Failure { code, message, details } = failure;
        Self { code, message, details }
    }
}

impl types::Host for State {}
