//! `GET /openapi.json`, and a page to browse it that needs nothing from elsewhere.
//!
//! The page only shows: a browser says with `Origin` that a page sends a request, and such requests are refused
//! (see `guard`), so it offers to send none.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{extract::Request, http::HeaderMap, response::Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use lictor_model::{Digest, field::shorten};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::Config;

use super::super::{
    Reply,
    router::{Named, Routes, answer_by_status},
};
use crate::error::{Error, ErrorKind};

/// What a browser may do with the page: load what is beside it, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";

/// What the page loads; the library has more.
const PARTS: [&str; 5] = [
    "favicon-32x32.png",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Lictor: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> has the same.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/swagger-ui-standalone-preset.js"></script>
<script src="docs/swagger-initializer.js"></script>
</body>
</html>
"#;

/// Made when it is first asked for: most servers are never asked.
static DOCUMENT: LazyLock<Result<Bytes, String>> =
    LazyLock::new(|| super::document().map(|document| document.to_string().into()).map_err(|error| error.to_string()));

pub(super) fn routes() -> OpenApiRouter<Routes> {
    OpenApiRouter::default().routes(routes!(openapi)).routes(routes!(docs)).routes(routes!(docs_file))
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "document",
    responses(
        (status = 200, description = "What this server can be asked, in OpenAPI 3.1", body = Object),
        (status = 304, description = "`If-None-Match` has the one there is"),
    ),
)]
async fn openapi(request: Request) -> Response {
    let document = DOCUMENT.clone().map_err(|error| Error::internal("the document could not be made", error));
    answer_by_status(document.map(|bytes| file(request.headers(), "application/json", bytes)))
}

/// This document as a page
#[utoipa::path(
    get, path = "/docs", tag = "document",
    responses(
        (status = 200, description = "A page to browse what this server can be asked", body = String, content_type = "text/html"),
        (status = 304, description = "`If-None-Match` has the one there is"),
    ),
)]
async fn docs(request: Request) -> Response {
    answer_by_status(Ok(file(request.headers(), HTML, Bytes::from_static(PAGE.as_bytes()))))
}

/// The parts of the page
#[utoipa::path(
    get, path = "/docs/{file}", tag = "document",
    params(("file" = String, Path, example = "swagger-ui.css")),
    responses(
        (status = 200, description = "A script, a style or an image", content(
            (String = "text/css"), (String = "text/javascript"), (String = "image/png"),
        )),
        (status = 304, description = "`If-None-Match` has the one there is"),
        (status = 404, description = "There is no such part", body = super::Failure),
    ),
)]
async fn docs_file(Named(name): Named, request: Request) -> Response {
    answer_by_status(part(request.headers(), &name))
}

fn part(headers: &HeaderMap, name: &str) -> Result<Reply, Error> {
    let found = match PARTS.contains(&name) {
        true => utoipa_swagger_ui::serve(name, Arc::new(config()))
            .map_err(|error| Error::internal("the page could not be made", error.to_string()))?,
        false => None,
    };
    let Some(found) = found else {
        return Err(Error::new(ErrorKind::NotFound, format!("the page has no part `{}`", shorten(name, 60))));
    };
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let mut reply = file(headers, &found.content_type, bytes);
    if found.gzpipped && reply.status() == StatusCode::OK {
        reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(reply)
}

fn config() -> Config<'static> {
    Config::from("openapi.json")
        .use_base_layout()
        .deep_linking(true)
        .display_request_duration(false)
        .try_it_out_enabled(false)
        .supported_submit_methods::<[&str; 0], &str>([])
        .validator_url("none")
}

/// Bytes that stay the same as long as the server does, not sent again to who has them.
fn file(asked: &HeaderMap, media_type: &str, bytes: Bytes) -> Reply {
    let tag = format!("\"{}\"", Digest::of(&bytes).to_hex());
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let fresh = known.flat_map(|tags| tags.split(',')).any(|known| same_tag(known.trim(), &tag));
    let mut reply = Reply::new(Full::new(if fresh { Bytes::new() } else { bytes }));
    if fresh {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = reply.headers_mut();
    let mut set = |name: HeaderName, value: &str| HeaderValue::from_str(value).map(|value| headers.insert(name, value));
    // A value that is no header value is left out; ours are.
    let all = [
        (header::CONTENT_TYPE, media_type),
        (header::ETAG, &*tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    all.into_iter().for_each(|(name, value)| drop(set(name, value)));
    reply
}

fn same_tag(known: &str, tag: &str) -> bool {
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}
