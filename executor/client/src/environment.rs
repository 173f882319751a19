//! The variables of the environment that say where the policies system is, under the original's names.

use std::collections::BTreeMap;

use lictor_model::{ExecutorId, FieldError, HostUri};

use crate::builder::Mode;

pub(crate) const MODE: &str = "POLICY_EXECUTION_MODE";
pub(crate) const RECORDS: &str = "POLICY_DB_URL";
pub(crate) const EXECUTORS: &str = "POLICY_EXECUTOR_HOST_URL";
pub(crate) const EXECUTOR_ID: &str = "POLICY_SYSTEM_EXECUTOR_ID";
/// Ours: the original has no tokens.
const TOKEN: &str = "LICTOR_TOKEN";

const DEFAULT_URL: &str = "http://localhost:10000";
/// The executor that the original asks if nobody names one.
const DEFAULT_EXECUTOR: &str = "executor-0";

/// The variables of this process, or others instead. One that is empty counts as not set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    instead: Option<BTreeMap<String, String>>,
}

impl Environment {
    pub(crate) fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { instead: Some(variables.into_iter().collect()) }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place of this crate where the environment is read")]
    fn get(&self, name: &str) -> Option<String> {
        let value = match &self.instead {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// The mode: the variable, or what the application said.
    pub(crate) fn mode(&self, said: Mode) -> Mode {
        self.get(MODE).map_or(said, |mode| Mode::from(mode.as_str()))
    }

    /// Where a system is: what the application said as `argument`, the variable, or the default.
    pub(crate) fn url(&self, argument: &str, said: Option<&str>, variable: &str) -> Result<HostUri, FieldError> {
        let (from, text) = match (said, self.get(variable)) {
            (Some(said), _) => (argument, said.to_owned()),
            (None, Some(set)) => (variable, set),
            (None, None) => (argument, DEFAULT_URL.to_owned()),
        };
        HostUri::parse(&text).map_err(|why| FieldError::new(from, why))
    }

    /// What a system or an executor is shown: what the application said, or the variable.
    pub(crate) fn token(&self, said: Option<&str>) -> Option<String> {
        said.map(str::to_owned).or_else(|| self.get(TOKEN))
    }

    /// The executor: what the application said, the variable, or the default.
    pub(crate) fn executor_id(&self, said: Option<&str>) -> Result<ExecutorId, FieldError> {
        let said = said.filter(|id| !id.is_empty()).map(str::to_owned);
        said.or_else(|| self.get(EXECUTOR_ID)).unwrap_or_else(|| DEFAULT_EXECUTOR.to_owned()).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str, value: &str) -> Environment {
        Environment::of([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_mode_of_the_environment_wins() {
        for (set, said, mode) in [
            ("", Mode::Local, Mode::Local),
            ("", Mode::Remote, Mode::Remote),
            ("local", Mode::Remote, Mode::Local),
            ("remote", Mode::Local, Mode::Remote),
            ("Local", Mode::Local, Mode::Remote),
        ] {
            assert_eq!(environment(MODE, set).mode(said), mode, "{set:?}");
        }
    }

    #[test]
    fn what_the_application_says_wins_elsewhere() {
        let url = |set: &str, said: Option<&str>| environment(RECORDS, set).url("policy_db_url", said, RECORDS);
        assert_eq!(url("", None).unwrap().as_str(), "http://localhost:10000");
        assert_eq!(url("http://set:1/", None).unwrap().as_str(), "http://set:1");
        assert_eq!(url("http://set:1", Some("http://said:1")).unwrap().as_str(), "http://said:1");
        assert_eq!(url("x", None).unwrap_err().field(), RECORDS);
        assert_eq!(url("http://set", Some("x")).unwrap_err().field(), "policy_db_url");
        let id = |set: &str, said: Option<&str>| environment(EXECUTOR_ID, set).executor_id(said);
        assert_eq!(id("", Some("")).unwrap().as_str(), "executor-0");
        assert_eq!(id("set", Some("")).unwrap().as_str(), "set");
        assert_eq!(id("set", Some("said")).unwrap().as_str(), "said");
        assert_eq!(id("a/b", None).unwrap_err().field(), "executor_id");
    }
}
