//! The shapes of bodies and answers, as the document describes them.
//!
//! Nothing is ever made of these types: bodies are read, and records kept, as the documents they are.

#![expect(dead_code, reason = "these types are described, not made")]

mod asset;
mod batch;
mod executors;
mod functions;
mod graphs;
mod jobs;
mod names;
mod peer;
mod policy;
mod records;
mod run;
mod shadows;

use serde_json::{Map, Value};
use utoipa::{
    IntoParams, ToSchema,
    openapi::schema::{Object, ObjectBuilder, Type},
};

pub(in crate::http) use self::{
    asset::*, batch::*, executors::*, functions::*, graphs::*, jobs::*, names::*, peer::*, policy::*, records::*,
    run::*, shadows::*,
};

/// The codes of requests that are refused.
pub(super) const REFUSALS: [&str; 16] = [
    "invalid_input",
    "not_found",
    "conflict",
    "busy",
    "shutting_down",
    "not_available",
    "unauthorized",
    "forbidden",
    "internal",
    "bad_archive",
    "digest_mismatch",
    "not_a_component",
    "missing_export",
    "unknown_import",
    "too_complex",
    "code_unreachable",
];

fn refusal_codes() -> Object {
    one_of(&REFUSALS)
}

fn one_of(all: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all.iter().copied())).build()
}

fn always_true() -> Object {
    only(true)
}

fn always_false() -> Object {
    only(false)
}

fn only(value: bool) -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([value])).build()
}

/// What a registry answers: `data`, or why there is none.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Answer<T: ToSchema> {
    Success(#[schema(inline)] Success<T>),
    Failure(Failure),
}

/// It worked.
#[derive(ToSchema)]
pub(in crate::http) struct Success<T: ToSchema> {
    #[schema(schema_with = always_true)]
    success: bool,
    data: T,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// It did not work.
#[derive(ToSchema)]
pub(in crate::http) struct Failure {
    #[schema(schema_with = always_false)]
    success: bool,
    /// What kind of failure, for programs.
    #[schema(schema_with = refusal_codes)]
    code: String,
    /// What is wrong and what to do, for people.
    message: String,
    /// The field that is wrong.
    #[schema(nullable = false)]
    field: Option<String>,
    /// Where the server's log has more.
    #[schema(nullable = false)]
    id: Option<String>,
}

/// A document of which only some fields need be there.
#[derive(ToSchema)]
pub(in crate::http) struct Document(Map<String, Value>);

/// A condition on records, as MongoDB has them: `{}` matches all, an operator that is not known is an error.
#[derive(ToSchema)]
#[schema(example = json!({"tags": "security", "version": {"$gte": "1.0"}}))]
pub(in crate::http) struct Filter(Map<String, Value>);

/// A whole record, or an update of one.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Change<T: ToSchema> {
    Whole(#[schema(inline)] T),
    Update(Box<Update>),
}

/// Changes of a record, as MongoDB has them: each operator takes an object of dotted paths.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"$set": {"metadata.author": "somebody"}, "$addToSet": {"tags": "reviewed"}}))]
pub(in crate::http) struct Update {
    #[serde(rename = "$set")]
    #[schema(nullable = false)]
    set: Option<Map<String, Value>>,
    #[serde(rename = "$unset")]
    #[schema(nullable = false)]
    unset: Option<Map<String, Value>>,
    #[serde(rename = "$inc")]
    #[schema(nullable = false)]
    inc: Option<Map<String, Value>>,
    #[serde(rename = "$mul")]
    #[schema(nullable = false)]
    mul: Option<Map<String, Value>>,
    #[serde(rename = "$min")]
    #[schema(nullable = false)]
    min: Option<Map<String, Value>>,
    #[serde(rename = "$max")]
    #[schema(nullable = false)]
    max: Option<Map<String, Value>>,
    #[serde(rename = "$rename")]
    #[schema(nullable = false)]
    rename: Option<Map<String, Value>>,
    #[serde(rename = "$push")]
    #[schema(nullable = false)]
    push: Option<Map<String, Value>>,
    #[serde(rename = "$pull")]
    #[schema(nullable = false)]
    pull: Option<Map<String, Value>>,
    #[serde(rename = "$addToSet")]
    #[schema(nullable = false)]
    add_to_set: Option<Map<String, Value>>,
}

/// What a query may ask for beside its filter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct QueryOptions {
    /// So many records at most.
    #[param(nullable = false, minimum = 0)]
    limit: Option<u64>,
    /// So many of the first are left out.
    #[param(nullable = false, minimum = 0)]
    skip: Option<u64>,
    /// Paths, each with `-` before it for the other way round, such as `-version,name`; or `{"version": -1}`.
    #[param(nullable = false, example = "-version,name")]
    sort: Option<String>,
    /// The fields wanted, such as `name,version`; or `{"name": 1}`.
    #[param(nullable = false, example = "name,version")]
    projection: Option<String>,
}
