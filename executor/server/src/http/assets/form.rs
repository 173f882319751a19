//! The form of an upload: a file and its record, read as they come and within bounds.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{
        DefaultBodyLimit, FromRequest as _, Multipart, Request,
        multipart::{Field, MultipartError},
    },
};
use bytes::Bytes;
use http_body_util::Limited;
use hyper::{StatusCode, body::Body as _, header};
use lictor_model::{FieldError, field::shorten, json};
use serde_json::{Value, json};

use crate::{
    assets::{Assets, FileInfo, Upload},
    error::{Error, ErrorKind},
};

/// Parts of a form; the original knows two.
const MAX_PARTS: usize = 16;
/// Bytes of a part that is no file.
const MAX_FIELD: usize = 1 << 20;
/// How long nothing at all may arrive.
const IDLE: Duration = Duration::from_secs(30);
/// How long everything may take.
const TOTAL: Duration = Duration::from_secs(600);

/// What was sent.
pub(super) struct Form {
    /// The asset's record.
    pub(super) metadata: Value,
    /// What the client says of the file.
    pub(super) info: FileInfo,
    /// The file.
    pub(super) file: Upload,
}

impl Form {
    /// Reads the form of a request.
    pub(super) async fn read(request: Request, assets: &Assets) -> Result<Self, Error> {
        let why = || Error::new(ErrorKind::TooSlow, format!("the form did not come within {} s", TOTAL.as_secs()));
        tokio::time::timeout(TOTAL, read(request, assets)).await.map_err(|_| why())?
    }
}

async fn read(request: Request, assets: &Assets) -> Result<Form, Error> {
    let mut form = open(request, assets).await?;
    let (mut file, mut metadata) = (None, None);
    for _ in 0..MAX_PARTS {
        let Some(part) = in_time(form.next_field(), assets).await? else { return finish(file, metadata) };
        match part.name() {
            // Without a file's name it is a value, as the original has it.
            Some("asset") if part.file_name().is_some() => {
                once(file.is_none(), "asset")?;
                file = Some(receive(part, assets).await?);
            }
            Some("asset_metadata") => {
                once(metadata.is_none(), "asset_metadata")?;
                metadata = Some(field(part, assets).await?);
            }
            _ => drop(field(part, assets).await?),
        }
    }
    Err(FieldError::new("", format!("the form has more than {MAX_PARTS} parts")).into())
}

/// Bounds the whole, whatever its parts say.
async fn open(request: Request, assets: &Assets) -> Result<Multipart, Error> {
    let most = admit(&request, assets)?;
    let mut request = request.map(|body| Body::new(Limited::new(body, most)));
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    form.map_err(|error| Error::new(ErrorKind::MediaType, format!("the form cannot be read: {}", error.body_text())))
}

/// Looks at the head; says how many bytes are read at most.
fn admit(request: &Request, assets: &Assets) -> Result<usize, Error> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !text(header::CONTENT_TYPE).trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        let found = shorten(text(header::CONTENT_TYPE), 60);
        let why = format!("`Content-Type` is `{found}`: send the file as `multipart/form-data`, as `curl -F` does");
        return Err(Error::new(ErrorKind::MediaType, why));
    }
    let all = assets.max_bytes().saturating_add((MAX_PARTS * MAX_FIELD) as u64);
    if request.body().size_hint().lower() > all {
        return Err(too_large(assets));
    }
    Ok(usize::try_from(all).unwrap_or(usize::MAX))
}

/// Checks what came in the order of the original.
fn finish(file: Option<(FileInfo, Upload)>, metadata: Option<Bytes>) -> Result<Form, Error> {
    let wrong = |message: &str| Error::new(ErrorKind::InvalidInput, message).at(Some("asset"));
    let (info, file) = file.ok_or_else(|| wrong("No file part"))?;
    if info.name.is_empty() {
        return Err(wrong("No selected file"));
    }
    let metadata = match metadata {
        None => json!({}),
        Some(bytes) => {
            let wrong = |why: String| FieldError::new("asset_metadata", why);
            let text = str::from_utf8(&bytes).map_err(|_| wrong("is not UTF-8".into()))?;
            json::parse(text).map_err(|error| wrong(error.to_string()))?
        }
    };
    Ok(Form { metadata, info, file })
}

fn once(first: bool, name: &str) -> Result<(), FieldError> {
    if first { Ok(()) } else { Err(FieldError::new(name, "stands twice in the form")) }
}

/// Takes the file to disk as it comes.
async fn receive(mut part: Field<'_>, assets: &Assets) -> Result<(FileInfo, Upload), Error> {
    let info = FileInfo {
        name: name_of(part.file_name().unwrap_or_default()),
        media_type: shorten(part.content_type().unwrap_or("application/octet-stream"), 100),
    };
    let mut upload = assets.begin_upload().await?;
    while let Some(bytes) = in_time(part.chunk(), assets).await? {
        let size = upload.spool.size().saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if assets.max_bytes() < size {
            return Err(too_large(assets));
        }
        upload = upload.push(bytes).await?;
    }
    Ok((info, upload))
}

/// The name without the folders that some clients send, and without what does not print.
fn name_of(sent: &str) -> String {
    let name = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(255).collect()
}

async fn field(mut part: Field<'_>, assets: &Assets) -> Result<Bytes, Error> {
    let mut all = Vec::new();
    while let Some(bytes) = in_time(part.chunk(), assets).await? {
        all.extend_from_slice(&bytes);
        if MAX_FIELD < all.len() {
            let name = shorten(part.name().unwrap_or_default(), 40);
            return Err(Error::new(ErrorKind::TooLarge, format!("the part `{name}` is larger than {MAX_FIELD} bytes")));
        }
    }
    Ok(all.into())
}

/// The next bit of the form, if it comes in time.
async fn in_time<T>(step: impl Future<Output = Result<T, MultipartError>>, assets: &Assets) -> Result<T, Error> {
    let slow = |_| Error::new(ErrorKind::TooSlow, format!("nothing came of the form for {} s", IDLE.as_secs()));
    tokio::time::timeout(IDLE, step).await.map_err(slow)?.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(assets),
        _ => FieldError::new("", format!("the form cannot be read: {}", shorten(&error.body_text(), 200))).into(),
    })
}

fn too_large(assets: &Assets) -> Error {
    let mib = assets.max_bytes() >> 20;
    Error::new(ErrorKind::TooLarge, format!("the file is larger than {mib} MiB, which `max_asset_mb` sets"))
}
