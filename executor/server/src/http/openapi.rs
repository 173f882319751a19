//! The OpenAPI document: made of what the handlers say of themselves, and of what holds for every route.

mod examples;
mod page;
mod refusals;
mod schemas;

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi as _,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

pub(super) use self::{refusals::ByStatus, schemas::*};
use super::router::{self, Routes};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Lictor", description = "Policies that are WebAssembly components: their registries, and the ways to run them. Every route answers other methods than its own with 405 and `Allow`."),
    components(schemas(Failure)),
    tags(
        (name = "policies", description = "The registry of policies"),
        (name = "executors", description = "Where policies run"),
        (name = "functions", description = "Policies that stay resident"),
        (name = "graphs", description = "Functions wired together"),
        (name = "jobs", description = "Runs in the background"),
        (name = "assets", description = "Packages and files"),
        (name = "document", description = "What this server says of itself"),
    ),
)]
struct Begin;

/// Says how a caller shows who it is, which a server without tokens does not ask for.
fn secure(document: &mut OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made by `lictor token create`. A server that never had one needs none."));
    document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", [""; 0])]);
}

/// An empty router with what the document begins with.
pub(super) fn begin() -> OpenApiRouter<Routes> {
    let mut document = Begin::openapi();
    secure(&mut document);
    OpenApiRouter::with_openapi(document)
}

pub(super) fn routes() -> OpenApiRouter<Routes> {
    page::routes()
}

/// The whole document.
fn document() -> serde_json::Result<Value> {
    let mut document = router::parts().into_openapi();
    refusals::complete(&mut document);
    let mut document = serde_json::to_value(document)?;
    share(&mut document);
    examples::complete(&mut document)?;
    Ok(document)
}

/// The keywords of which a shape of ours has one.
const OURS: [&str; 5] = ["properties", "additionalProperties", "oneOf", "allOf", "enum"];

/// Says each shape once: a shape that stands under a name is referred to wherever else it stands in full.
///
/// The macros write out every type that a generic one is made with.
fn share(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    // The macros also give names to what generic types are made with: `String`, `Vec`.
    schemas.retain(|_, schema| OURS.iter().any(|keyword| schema.get(keyword).is_some()));
    let names = schemas.iter().map(|(name, schema)| (schema.to_string(), name.clone())).collect();
    let mut own = document.pointer_mut("/components/schemas").map(Value::take).unwrap_or_default();
    refer(document, &names);
    for schema in own.as_object_mut().into_iter().flat_map(Map::values_mut) {
        refer_within(schema, &names);
    }
    if let Some(there) = document.pointer_mut("/components/schemas") {
        *there = own;
    }
}

fn refer(value: &mut Value, names: &HashMap<String, String>) {
    match names.get(&value.to_string()).filter(|_| value.is_object()) {
        Some(name) => *value = json!({"$ref": format!("#/components/schemas/{name}")}),
        None => refer_within(value, names),
    }
}

fn refer_within(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| refer(value, names)),
        Value::Array(items) => items.iter_mut().for_each(|value| refer(value, names)),
        _ => {}
    }
}
