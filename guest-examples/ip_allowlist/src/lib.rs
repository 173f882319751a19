//! Decides whether an IP address is on a local or a remote allowlist.
//!
//! The Rust twin of the Python class in the AIOS policies guide, with the same answers. Nothing is read that the
//! decision does not need: lists stay JSON text and are searched as they are parsed, the input is echoed as it came.
//! Without `allowlist_api` in its settings it never calls the host.

mod membership;

use lictor_policy::{Context, Failure, Policy, Raw, Schema, export, http, log};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use membership::{Address, List};

/// An instance: its own allowlist, and what it remembers of the remote one.
pub struct IpAllowlist {
    settings: Settings,
    parameters: Parameters,
    remote: List,
}

/// The settings of the policy.
#[derive(Deserialize, Schema)]
pub struct Settings {
    /// HTTP API endpoint that returns a JSON allowlist
    #[schema(pattern = "^https?://.*")]
    allowlist_api: Option<String>,
}

/// The parameters of the policy, stored or brought by a call.
#[derive(Deserialize, Schema)]
pub struct Parameters {
    /// List of IPs locally allowed
    #[serde(default)]
    #[schema(as = Vec<String>, max_length = 100, pattern = r"^\d{1,3}(\.\d{1,3}){3}$")]
    local_allowlist: List,
}

/// What is decided about.
#[derive(Deserialize, Schema)]
pub struct Request<'a> {
    /// IP address of the incoming request
    #[serde(borrow, default)]
    #[schema(as = String, pattern = r"^\d{1,3}(\.\d{1,3}){3}$")]
    ip: Address<'a>,
}

/// The decision.
#[derive(Serialize, Schema)]
pub struct Decision {
    /// Whether access is allowed
    allowed: bool,
    /// Original input data
    #[schema(as = Value)]
    input_data: Raw<Request<'static>>,
    /// Reason for the decision
    reason: &'static str,
}

/// What the allowlist API answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    allowlist: List,
}

impl Policy for IpAllowlist {
    type Settings = Settings;
    type Parameters = Parameters;
    type Input = Raw<Request<'static>>;
    type Output = Decision;

    fn new(_rule_id: &str, settings: Settings, parameters: Parameters) -> Result<Self, Failure> {
        Ok(Self { settings, parameters, remote: List::default() })
    }

    fn eval(
        &mut self,
        parameters: Option<Parameters>,
        input: Raw<Request<'static>>,
        _context: &mut Context,
    ) -> Result<Decision, Failure> {
        let request = read_request(&input)?;
        let (allowed, reason) = if request.ip.is_missing() {
            (false, "IP missing in input_data")
        } else if self.allows(&request.ip, parameters.as_ref())? {
            (true, "allowed")
        } else {
            (false, "denied")
        };
        Ok(Decision { allowed, input_data: input, reason })
    }

    fn management(&mut self, action: &str, data: Value, _context: &mut Context) -> Result<Value, Failure> {
        match action {
            "update_local_allowlist" => self.update_local_allowlist(&data),
            "fetch_remote_allowlist" => {
                self.remote = self.fetch_remote();
                Ok(json!({ "status": "success", "remote_allowlist": self.remote }))
            }
            "get_state" => Ok(json!({
                "status": "success",
                "local_allowlist": self.parameters.local_allowlist,
                "cached_remote_allowlist": self.remote,
            })),
            _ => Ok(json!({ "status": "error", "message": format!("Unknown action '{action}'") })),
        }
    }
}

impl IpAllowlist {
    fn allows(&mut self, ip: &Address<'_>, parameters: Option<&Parameters>) -> Result<bool, Failure> {
        if self.remote.is_empty() {
            self.remote = self.fetch_remote();
        }
        let local = &parameters.unwrap_or(&self.parameters).local_allowlist;
        // Both are always searched: a list that is none is an error even if the other one has the address.
        let is_local = local.contains(ip).map_err(Failure::invalid_parameters)?;
        let is_remote = self.remote.contains(ip).map_err(Failure::invalid_data)?;
        Ok(is_local || is_remote)
    }

    /// The remote allowlist, or an empty one if it cannot be had.
    fn fetch_remote(&self) -> List {
        let Some(api) = &self.settings.allowlist_api else { return List::default() };
        fetch(api).unwrap_or_else(|err| {
            log::error!("Failed to fetch remote allowlist: {err}");
            List::default()
        })
    }

    fn update_local_allowlist(&mut self, data: &Value) -> Result<Value, Failure> {
        let data = data.as_object().ok_or_else(|| Failure::invalid_data("expected an object"))?;
        let ips = data.get("ips").cloned().unwrap_or_else(|| json!([]));
        if !ips.is_array() {
            return Ok(json!({ "status": "error", "message": "Expected 'ips' to be a list" }));
        }
        self.parameters.local_allowlist = to_raw_value(&ips).map_err(Failure::invalid_data)?.into();
        Ok(json!({ "status": "success", "updated_allowlist": ips }))
    }
}

fn read_request<'a>(input: &'a Raw<Request<'static>>) -> Result<Request<'a>, Failure> {
    // A list would be read as the fields of a request in their order.
    if !input.as_str().starts_with('{') {
        return Err(Failure::invalid_input("expected an object"));
    }
    serde_json::from_str(input.as_str()).map_err(Failure::invalid_input)
}

fn fetch(api: &str) -> Result<List, http::Error> {
    let answer: Box<RawValue> = http::get(api)?.error_for_status()?.json()?;
    if !answer.get().starts_with('{') {
        return Err(http::Error::new("body-not-JSON", "expected an object"));
    }
    let answer: Answer =
        serde_json::from_str(answer.get()).map_err(|err| http::Error::new("body-not-JSON", err.to_string()))?;
    Ok(answer.allowlist)
}

export!(IpAllowlist);

#[cfg(test)]
mod tests;
