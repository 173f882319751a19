//! From a builder to a policy that can be constructed: its record, its code, and what of both the application allows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use lictor_loader::{CompileIn, FetchRules, Fetched, LoadCode, LoadError, Loader, System, Wanted, archive, python};
use lictor_model::{
    Capabilities, CodeRef, Digest, Draft, FieldError, Limits, LimitsSpec, PolicySpec, PolicyUri, Schemas,
};
use lictor_sandbox::{HostFunctions, Module, Policy, Sandbox, checked};
use serde_json::{Map, Value};

use crate::{
    Error,
    builder::{Builder, members},
    environment::RECORDS,
};

/// How long the system may take for a record.
const PATIENCE: Duration = Duration::from_secs(10);

/// A component, or a package with one, of the application's own.
#[derive(Clone)]
pub(crate) enum Custom {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// Everything that an instance is made of.
pub(crate) struct Prepared {
    pub(crate) sandbox: Sandbox,
    pub(crate) policy: Policy,
    pub(crate) functions: HostFunctions,
    pub(crate) limits: Limits,
    pub(crate) schemas: Arc<Schemas>,
}

/// What is known of a policy before its code is loaded.
struct Known {
    uri: Arc<str>,
    settings: Map<String, Value>,
    parameters: Map<String, Value>,
    limits: LimitsSpec,
    grant: Capabilities,
    deterministic: bool,
    schemas: Arc<Schemas>,
}

impl Prepared {
    pub(crate) async fn of(builder: &Builder) -> Result<Self, Error> {
        let (settings, parameters) =
            (members("settings", &builder.settings)?, members("parameters", &builder.parameters)?);
        let uri = builder.policy_rule_uri.as_deref().map(str::parse::<PolicyUri>).transpose()?;
        let sandbox = builder.made_sandbox()?;
        let (mut known, module) = match (&builder.custom, uri) {
            (Some(custom), uri) => own(builder, &sandbox, custom, uri).await?,
            (None, Some(uri)) => recorded(builder, &sandbox, &uri).await?,
            (None, None) => return Err(FieldError::new("policy_rule_uri", "is required").into()),
        };
        known.settings.extend(settings);
        known.parameters.extend(parameters);
        let limits = known.limits.within(&builder.ceiling);
        module.fits(&limits).map_err(LoadError::from)?;
        known.finish(builder, sandbox, module, limits)
    }
}

impl Known {
    fn finish(self, builder: &Builder, sandbox: Sandbox, module: Module, limits: Limits) -> Result<Prepared, Error> {
        let policy = Policy {
            module,
            uri: Arc::clone(&self.uri),
            settings: Value::Object(self.settings).to_string().into(),
            parameters: Value::Object(self.parameters).to_string().into(),
            grant: Arc::new(self.grant),
            deterministic: self.deterministic,
        };
        let unfit = checked::construction(&self.schemas, Some(&policy.settings), Some(&policy.parameters))
            .map_err(|stop| Error::Stopped { stop, state_lost: false })?;
        if !unfit.is_empty() {
            let policy = &*self.uri;
            tracing::warn!(policy, "what it is constructed with does not match: {}", checked::line(&unfit));
        }
        Ok(Prepared { sandbox, policy, functions: builder.functions.clone(), limits, schemas: self.schemas })
    }
}

/// A policy without a record: it gets all that the application grants.
async fn own(
    builder: &Builder,
    sandbox: &Sandbox,
    custom: &Custom,
    uri: Option<PolicyUri>,
) -> Result<(Known, Module), Error> {
    let host = builder.functions.names().map(str::to_owned).collect();
    let known = Known {
        uri: uri.as_ref().map_or("", PolicyUri::as_str).into(),
        settings: Map::new(),
        parameters: Map::new(),
        limits: builder.limits.clone().unwrap_or_default(),
        grant: Capabilities { host, ..builder.grant.clone() },
        deterministic: false,
        schemas: Arc::default(),
    };
    let loader = loader(builder, sandbox, builder.fetch_rules())?;
    let component = custom.read().await?;
    let module = loader.load_bytes(component, is_metered(builder, &known.limits)).await?;
    Ok((known, module))
}

/// A policy as the system has it.
async fn recorded(builder: &Builder, sandbox: &Sandbox, uri: &PolicyUri) -> Result<(Known, Module), Error> {
    let url = builder.environment.url("policy_db_url", builder.policy_db_url.as_deref(), RECORDS)?;
    let system = Arc::new(System::at(url, PATIENCE, builder.environment.token(builder.token.as_deref()).as_deref())?);
    let document = match system.policy(uri, None).await {
        Ok(told) => told.map(|told| told.document).unwrap_or_default(),
        Err(untold) if untold.is_not_found() => return Err(Error::NotFound(uri.to_string())),
        Err(untold) => return Err(untold.into()),
    };
    let component = document.get("component_digest").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let unusable = |error| Error::Unreachable(format!("{system} has a record of `{uri}` that cannot be used: {error}"));
    let Draft { document, spec, warnings } = Draft::parse(Value::Object(document)).map_err(unusable)?;
    if spec.uri != *uri {
        return Err(Error::Unreachable(format!("{system} answered with the record of another policy: `{}`", spec.uri)));
    }
    for warning in warnings {
        tracing::warn!(policy = uri.as_str(), "{warning}");
    }
    let known = Known::read(builder, document, &spec);
    let rules = FetchRules { assets: Some(system), ..builder.fetch_rules() };
    let loader = loader(builder, sandbox, rules)?;
    let module = load(&loader, &spec, component, is_metered(builder, &known.limits)).await?;
    Ok((known, module))
}

impl Known {
    fn read(builder: &Builder, mut document: Map<String, Value>, spec: &PolicySpec) -> Self {
        let mut members = |name: &str| match document.remove(name) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        Self {
            uri: spec.uri.as_str().into(),
            settings: members("policy_settings"),
            parameters: members("policy_parameters"),
            limits: builder.limits.clone().unwrap_or_else(|| spec.limits.clone()),
            grant: granted(&spec.capabilities, &builder.grant, spec.uri.as_str()),
            deterministic: spec.deterministic,
            schemas: Arc::clone(&spec.schemas),
        }
    }
}

/// What a record asks for, as far as the application grants it.
///
/// Host functions stay as asked: only those exist that the application handed over, and one that is missing is then said
/// to be missing, not to be denied.
fn granted(asked: &Capabilities, grant: &Capabilities, policy: &str) -> Capabilities {
    let (http, refused): (Vec<_>, Vec<_>) = asked.http.iter().cloned().partition(|origin| grant.permits_http(origin));
    for origin in refused {
        tracing::warn!(
            policy,
            "the record asks for `capabilities.http` with `{origin}`, which the application does not grant"
        );
    }
    Capabilities { http, context: asked.context && grant.context, host: asked.host.clone() }
}

fn is_metered(builder: &Builder, limits: &LimitsSpec) -> bool {
    limits.within(&builder.ceiling).fuel().is_some()
}

fn loader(builder: &Builder, sandbox: &Sandbox, rules: FetchRules) -> Result<Loader, Error> {
    let loader = Loader::new(sandbox.clone(), rules, builder.cache()?, CompileIn::Process)?;
    Ok(loader.with_python(builder.python_host.clone().or_else(python::usual_host)))
}

async fn load(
    loader: &Loader,
    spec: &PolicySpec,
    component: Option<Digest>,
    metered: bool,
) -> Result<Module, LoadError> {
    let (code, code_digest): (&CodeRef, _) = (&spec.code, spec.code_digest.as_ref());
    loader.load(Wanted { kind: spec.kind, code, code_digest, component, metered }).await
}

impl Custom {
    /// The component, or the package of a policy in Python.
    async fn read(&self) -> Result<Vec<u8>, LoadError> {
        let custom = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = match custom {
                Self::Bytes(bytes) => bytes,
                Self::File(path) => std::fs::read(&path).map_err(|error| {
                    let message = format!("`{}` cannot be read: {error}", path.display());
                    LoadError::new(LoadCode::CodeUnreachable, message).caused_by(error)
                })?,
            };
            let code = Fetched::of(bytes).verify(None)?;
            Ok(archive::code_of(&code, archive::kind_of(&code))?.bytes().to_vec())
        });
        let stopped = |error| LoadError::new(LoadCode::Internal, "reading was stopped").caused_by(error);
        reading.await.map_err(stopped)?
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_has_what_its_record_asks_for_and_the_application_grants() {
        let asked = json!({"http": ["https://a.com", "https://b.com"], "host": ["f"]});
        let (asked, none) = (Capabilities::parse(&asked).unwrap(), Capabilities::default());
        for (grant, http, context) in [
            (json!({}), json!([]), true),
            (json!({"http": ["https://b.com", "https://c.com"], "context": false}), json!(["https://b.com"]), false),
        ] {
            let expected = json!({"http": http, "context": context, "host": ["f"]});
            let grant = Capabilities::parse(&grant).unwrap();
            assert_eq!(granted(&asked, &grant, "p"), Capabilities::parse(&expected).unwrap());
        }
        assert_eq!(granted(&none, &asked, "p"), none);
    }
}
