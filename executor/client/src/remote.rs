//! An executor that is asked to run the policy.

use std::time::{Duration, Instant};

use lictor_loader::{Ask, Client, client::Method, system};
use lictor_model::{FieldError, HostUri, PolicyUri};
use serde_json::{Map, Value, json};

use crate::{Builder, Error, builder::members, environment::EXECUTORS, local::text};

/// How long an executor may take: the longest that a call may run, loading, and waiting for a place.
const PATIENCE: Duration = Duration::from_secs(180);
/// Bytes of an answer at most: the longest that a policy may give, and what is around it.
const MAX_ANSWER: usize = 17 << 20;

pub(crate) struct Remote {
    client: Client,
    system: HostUri,
    url: String,
    uri: PolicyUri,
    parameters: Option<Map<String, Value>>,
}

impl Remote {
    pub(crate) fn make(builder: &Builder) -> Result<Self, Error> {
        let uri = builder.policy_rule_uri.as_deref().filter(|_| builder.custom.is_none());
        let Some(uri) = uri else {
            let why =
                "is required in remote mode: an executor runs policies of its system, not components of the caller";
            return Err(FieldError::new("policy_rule_uri", why).into());
        };
        let uri: PolicyUri = uri.parse()?;
        let system = builder.environment.url("executor_host_url", builder.executor_host_url.as_deref(), EXECUTORS)?;
        let id = builder.environment.executor_id(builder.executor_id.as_deref())?;
        if !members("settings", &builder.settings)?.is_empty() {
            tracing::warn!(policy = uri.as_str(), "an executor uses the stored settings, not those given here");
        }
        if let Some(name) = builder.functions.names().next() {
            tracing::warn!(
                policy = uri.as_str(),
                "an executor does not have `{name}`: functions are handed over locally"
            );
        }
        // An empty object overrides nothing; sent, it would replace the stored ones.
        let parameters = Some(members("parameters", &builder.parameters)?).filter(|members| !members.is_empty());
        let url = format!("{system}/executor/{id}/execute_policy");
        let token = builder.environment.token(builder.token.as_deref());
        let client = Client::of_operator(&system)?.with_token(token.as_deref())?;
        Ok(Self { client, system, url, uri, parameters })
    }

    pub(crate) async fn eval(&self, input: &Value) -> Result<Value, Error> {
        text("input_data", input)?;
        let body = json!({"policy_rule_uri": self.uri.as_str(), "input_data": input, "parameters": self.parameters});
        let who = format!("the executor at {}", self.system);
        let ask = Ask {
            method: Method::POST,
            url: &self.url,
            headers: &[],
            body: Some(body.to_string().into()),
            deadline: Instant::now() + PATIENCE,
            max_bytes: MAX_ANSWER,
        };
        let answer = self.client.ask(ask).await.map_err(|why| Error::Unreachable(format!("{who} {why}")))?;
        Ok(system::data(&who, &answer)?)
    }
}
