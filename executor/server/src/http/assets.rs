//! The routes of the registry of assets.

mod form;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::form::Form;
use super::{
    Reply, body,
    openapi::{
        AssetBody, AssetChange, AssetCreated, AssetId, AssetMessage, AssetRecord, AssetUpload, AssetUri, ByStatus,
        Document, Filter, Healthy, QueryOptions, Success, Uploaded,
    },
    registry, reply,
    router::{Named, Routes},
};
use crate::{assets::Kept, error::Error};

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default()
        .routes(routes!(upload))
        .routes(routes!(object))
        .routes(routes!(create))
        .routes(routes!(read, update, remove))
        .routes(routes!(query))
        .routes(routes!(health))
}

/// Failures have a status of their own here, as the original's have.
fn answer(result: Result<Reply, Error>) -> Response {
    let reply = result.unwrap_or_else(|error| reply::refusal_told_twice(&error));
    reply.map(Body::new).into_response()
}

/// Upload a file
///
/// The same file with the same record under the same uri is a success too, anything else under that uri a conflict.
#[utoipa::path(
    post, path = "/upload_asset", tag = "assets", operation_id = "upload_asset",
    request_body(content = AssetUpload, content_type = "multipart/form-data"),
    responses((status = 201, description = "Where it is", body = Uploaded), ByStatus),
)]
async fn upload(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let assets = &routes.app.assets;
            let form = Form::read(request, assets).await?;
            let kept = assets.upload(form.metadata, &form.info, form.file).await?;
            Ok(reply::created(&uploaded(&kept)))
        }
        .await,
    )
}

fn uploaded(kept: &Kept) -> Value {
    let body = json!({
        "success": true, "asset_uri": kept.uri.as_str(), "asset_id": kept.id, "public_url": kept.public_url
    });
    warned(body, &kept.warnings)
}

fn warned(mut body: Value, warnings: &[String]) -> Value {
    if let Some(fields) = body.as_object_mut().filter(|_| !warnings.is_empty()) {
        fields.insert("warnings".into(), json!(warnings));
    }
    body
}

/// Download a file
#[utoipa::path(
    get, path = "/asset-object/{asset_id}", tag = "assets", operation_id = "download_asset",
    params(AssetId),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "`If-None-Match` has it"),
        ByStatus,
    ),
)]
async fn object(State(routes): State<Routes>, Named(id): Named, headers: HeaderMap) -> Response {
    answer(
        async {
            let file = routes.app.assets.file(&id).await?;
            let tag = format!("\"{}\"", file.digest);
            if has(&headers, &tag) {
                return Ok(attachment(StatusCode::NOT_MODIFIED, &id, &tag, Bytes::new()));
            }
            let object = routes.app.assets.object(&id).await?;
            Ok(attachment(StatusCode::OK, &id, &tag, object.bytes))
        }
        .await,
    )
}

/// Whether the client has what `tag` names.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).any(|known| matches!(known.trim(), known if known == tag || known == "*"))
}

/// A file to be saved and never shown: what it says of itself is somebody else's word.
fn attachment(status: StatusCode, id: &str, tag: &str, bytes: Bytes) -> Reply {
    let mut reply = Reply::new(Full::new(bytes));
    *reply.status_mut() = status;
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            reply.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream");
    // An id that has a file is one of ours, and has nothing that would need an escape.
    set(header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{id}\""));
    set(header::ETAG, tag);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    reply
}

/// Register a file that is elsewhere
#[utoipa::path(
    post, path = "/asset", tag = "assets", operation_id = "create_asset",
    request_body = AssetBody,
    responses((status = 201, description = "Its id", body = Success<AssetCreated>), ByStatus),
)]
async fn create(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let record = body::read_value(request, routes.max_body).await?;
            let kept = routes.app.assets.create(record).await?;
            let body = json!({"success": true, "data": {"message": "Asset created", "id": kept.id}});
            Ok(reply::created(&warned(body, &kept.warnings)))
        }
        .await,
    )
}

/// Read the record of an asset
#[utoipa::path(
    get, path = "/asset/{asset_uri}", tag = "assets", operation_id = "read_asset",
    params(AssetUri),
    responses((status = 200, description = "The record", body = Success<AssetRecord>), ByStatus),
)]
async fn read(State(routes): State<Routes>, Named(uri): Named) -> Response {
    answer(routes.app.assets.read(&uri).await.map(|record| reply::success(&Value::Object(record), &[])))
}

/// Change the record of an asset
///
/// The fields of the body take the place of the old ones; with `$` operators at its top it is an update. A change of
/// name, version or tag moves the asset. The file stays what it is.
#[utoipa::path(
    put, path = "/asset/{asset_uri}", tag = "assets", operation_id = "update_asset",
    params(AssetUri),
    request_body = AssetChange,
    responses((status = 200, description = "It was changed", body = Success<AssetMessage>), ByStatus),
)]
async fn update(State(routes): State<Routes>, Named(uri): Named, request: Request) -> Response {
    answer(
        async {
            let change = body::read_value(request, routes.max_body).await?;
            let warnings = routes.app.assets.update(&uri, change).await?;
            Ok(reply::success(&json!({"message": "Asset updated"}), &warnings))
        }
        .await,
    )
}

/// Delete an asset, and its file if no other asset has the same
#[utoipa::path(
    delete, path = "/asset/{asset_uri}", tag = "assets", operation_id = "delete_asset",
    params(AssetUri),
    responses((status = 200, description = "It was deleted", body = Success<AssetMessage>), ByStatus),
)]
async fn remove(State(routes): State<Routes>, Named(uri): Named) -> Response {
    let removed = routes.app.assets.delete(&uri).await;
    answer(removed.map(|()| reply::success(&json!({"message": "Asset deleted"}), &[])))
}

/// Find assets
#[utoipa::path(
    post, path = "/assets", tag = "assets", operation_id = "query_assets",
    params(QueryOptions), request_body = Filter,
    responses((status = 200, description = "The records that match", body = Success<Vec<Document>>), ByStatus),
)]
async fn query(State(routes): State<Routes>, request: Request) -> Response {
    answer(
        async {
            let query = registry::asked(request, routes.max_body).await?;
            Ok(reply::list(routes.app.assets.query(query).await?))
        }
        .await,
    )
}

/// Whether the registry is there
#[utoipa::path(
    get, path = "/health", tag = "assets", operation_id = "assets_health",
    responses((status = 200, description = "It is", body = Healthy)),
)]
async fn health() -> Response {
    answer(Ok(reply::plain(
        StatusCode::OK,
        "application/json",
        json!({"success": true, "message": "healthy"}).to_string(),
    )))
}
