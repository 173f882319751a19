//! How every registry is asked.

use axum::extract::{Query as QueryString, Request};
use lictor_model::{FieldError, Filter, Query, query::Options};
use serde_json::Value;

use super::{Reply, body, reply};
use crate::{
    error::{Error, ErrorKind},
    registry::{Entity, Registry},
};

/// The query that a request to a `…/query` route asks: the filter in its body, the options in its query string.
pub(super) async fn asked(request: Request, max_body: usize) -> Result<Query, Error> {
    let pairs = QueryString::<Vec<(String, String)>>::try_from_uri(request.uri());
    let filter = Filter::parse(&body::read_value(request, max_body).await?)?;
    let pairs = pairs.map_err(|_| FieldError::new("", "the query string of the address cannot be read"))?;
    let options = Options::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok(Query { filter, options })
}

/// What a registry answers to a query. What is wrong with one is told after `complaint`, the original's.
pub(super) async fn found<E: Entity>(
    registry: &Registry<E>,
    request: Request,
    max_body: usize,
    complaint: &str,
) -> Result<Reply, Error> {
    let query = asked(request, max_body).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => error.after(complaint),
        _ => error,
    })?;
    Ok(reply::list(registry.query(query).await?))
}

/// What a registry answers when one record is asked for.
pub(super) async fn read<E: Entity>(registry: &Registry<E>, id: &str) -> Result<Reply, Error> {
    Ok(reply::success(&Value::Object(registry.read(id).await?), &[]))
}
