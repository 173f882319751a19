//! What `inspect` found out, for a person.

use lictor_model::field::shorten;
use serde_json::Value;

use super::report::{File, Need, Provided, Reach, Report};

/// The longest name of an import or export that is shown.
const MAX_NAME: usize = 120;

/// Files of a policy in Python that are named.
const MAX_FILES: usize = 20;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut lines = head(report);
    section(&mut lines, "imports", imports(report));
    section(&mut lines, "exports", report.exports.iter().map(|name| shorten(name, MAX_NAME)).collect());
    section(&mut lines, "capabilities", capabilities(report));
    reach(&mut lines, &report.reach);
    section(&mut lines, "limits", limits(report));
    section(&mut lines, "schemas", schemas(report));
    lines.push(String::new());
    lines.push(match &report.refusal {
        None => "It is a policy.".to_owned(),
        Some(refusal) => format!("It would be refused, as {}: {}", refusal.code, refusal.message),
    });
    lines.join("\n")
}

fn head(report: &Report) -> Vec<String> {
    let file = |what: &str, File { digest, bytes }: &File| format!("{what:<10} {digest}  {bytes} bytes");
    let mut lines = vec![file("component", &report.component)];
    lines.extend(report.archive.as_ref().map(|archive| file("archive", archive)));
    match &report.record {
        None => lines.push("record     none: default limits and capabilities".into()),
        Some(record) => {
            lines.push(format!("record     {}  {}", record.path, record.policy_rule_uri));
            lines.extend(record.warnings.iter().map(|warning| format!("           {warning}")));
        }
    }
    if let Some(files) = &report.python {
        let shown: Vec<_> = files.iter().take(MAX_FILES).map(|name| shorten(name, MAX_NAME)).collect();
        let more =
            if files.len() > MAX_FILES { format!(", and {} more", files.len() - MAX_FILES) } else { String::new() };
        lines.push(format!("python     {}{more}", shown.join(", ")));
    }
    let Report { functions, modules, initial_memory_bytes, .. } = report;
    lines.push(format!(
        "made of    {functions} functions in {modules} core modules, {} KiB of memory to start with",
        initial_memory_bytes / 1024
    ));
    lines
}

fn section(lines: &mut Vec<String>, title: &str, body: Vec<String>) {
    lines.push(String::new());
    if body.is_empty() {
        lines.push(format!("{title}: none"));
        return;
    }
    lines.push(title.to_owned());
    lines.extend(body.into_iter().map(|line| format!("  {line}")));
}

fn imports(report: &Report) -> Vec<String> {
    let shown: Vec<_> = report.imports.iter().map(|import| shorten(&import.name, MAX_NAME)).collect();
    let width = shown.iter().map(String::len).max().unwrap_or(0);
    let provided = |provision: &Provided| match provision {
        Provided::Host => "provided".to_owned(),
        Provided::Granted { capability, granted: true } => format!("granted: {capability}"),
        Provided::Granted { capability, granted: false } => format!("needs the grant {capability}"),
        Provided::Inert => "inert stand-in: empty, or access denied".to_owned(),
        Provided::Outside { .. } => "outside the world of a policy".to_owned(),
    };
    let line =
        |(name, import): (&String, &super::report::Import)| format!("{name:<width$}  {}", provided(&import.provision));
    shown.iter().zip(&report.imports).map(line).collect()
}

fn capabilities(report: &Report) -> Vec<String> {
    let needed = |needed: bool| if needed { "could be used" } else { "not imported" };
    let list = |name: &str, need: &Need<Vec<String>>| {
        let granted = if need.granted.is_empty() { "nothing".to_owned() } else { need.granted.join(", ") };
        format!("{name:<8} {}, granted: {}", needed(need.needed), granted)
    };
    let needs = &report.capabilities;
    let context = if needs.context.granted { "granted" } else { "not granted" };
    vec![
        list("http", &needs.http),
        format!("{:<8} {}, {context}", "context", needed(needs.context.needed)),
        list("host", &needs.host),
    ]
}

/// What of the capabilities it could make use of. The server that it runs on may allow less.
fn reach(lines: &mut Vec<String>, reach: &Reach) {
    let origins = reach.http.iter().map(|origin| format!("{origin}, at public addresses"));
    let context = reach.context.then(|| "its own context".to_owned());
    let functions = reach.host.iter().map(|name| format!("the host function {name}"));
    let body: Vec<String> = origins.chain(context).chain(functions).collect();
    if body.is_empty() {
        lines.extend([String::new(), "reach: nothing outside of its sandbox".to_owned()]);
    } else {
        section(lines, "reach", body);
    }
}

fn limits(report: &Report) -> Vec<String> {
    let Ok(Value::Object(limits)) = serde_json::to_value(report.limits) else { return Vec::new() };
    let shown = |name: &str, value: &Value| match (name, value) {
        (_, Value::Null) => "not metered".to_owned(),
        ("max_concurrency", Value::Number(n)) if n.as_u64() == Some(0) => "unlimited".to_owned(),
        _ => value.to_string(),
    };
    limits.iter().map(|(name, value)| format!("{name:<16} {}", shown(name, value))).collect()
}

fn schemas(report: &Report) -> Vec<String> {
    let parsed = report.schemas.as_ref().map(|raw| serde_json::from_str::<Value>(raw.get()));
    let Some(Ok(Value::Object(schemas))) = parsed else { return Vec::new() };
    let pretty = |(name, schema): (&String, &Value)| format!("{name} {schema:#}");
    schemas.iter().map(pretty).flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
