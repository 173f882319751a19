//! Assets, as they are sent and as they are read.

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::always_true;

/// A file and its record.
#[derive(ToSchema)]
pub(in crate::http) struct AssetUpload {
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    asset: Vec<u8>,
    /// The record as JSON.
    #[schema(example = r#"{"asset_name": "IP-allow-list", "asset_version": {"version": "1.0", "tag": "beta"}}"#)]
    asset_metadata: String,
}

/// Where an uploaded file is.
#[derive(ToSchema)]
pub(in crate::http) struct Uploaded {
    #[schema(schema_with = always_true)]
    success: bool,
    /// `name:version-tag`; `asset:` and this is what a policy's `code` says.
    asset_uri: String,
    asset_id: String,
    public_url: String,
    /// What the caller should know although it worked.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// Which one of a name.
#[derive(ToSchema)]
pub(in crate::http) struct AssetVersion {
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "1.0")]
    version: String,
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "beta")]
    tag: String,
}

/// A file that is elsewhere. Fields that are not known are kept.
#[derive(ToSchema)]
pub(in crate::http) struct AssetBody {
    #[schema(pattern = "^[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,127}$", example = "IP-allow-list")]
    asset_name: String,
    asset_version: AssetVersion,
    /// Where it is.
    #[schema(nullable = false, example = "https://example.com/code/ip_allowlist_policy.zip")]
    asset_public_url: Option<String>,
    #[schema(nullable = false)]
    asset_metadata: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    asset_tags: Option<Vec<String>>,
    #[schema(nullable = false)]
    asset_file_info: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    assets_db_id: Option<String>,
}

/// The fields to change, or an update.
#[derive(ToSchema)]
#[schema(example = json!({"asset_tags": ["updated", "sample"]}))]
pub(in crate::http) struct AssetChange(Map<String, Value>);

/// The record of an asset.
#[derive(ToSchema)]
pub(in crate::http) struct AssetRecord {
    asset_uri: String,
    asset_id: String,
    asset_name: String,
    asset_version: AssetVersion,
    /// Where others find it; empty if it is nowhere.
    asset_public_url: String,
    asset_metadata: Map<String, Value>,
    asset_tags: Value,
    /// Of a file that was uploaded, also `file_name`, `file_type`, `file_size` and `digest`.
    asset_file_info: Map<String, Value>,
    assets_db_id: String,
}

/// What came of registering.
#[derive(ToSchema)]
pub(in crate::http) struct AssetCreated {
    message: String,
    id: String,
}

/// What was done.
#[derive(ToSchema)]
pub(in crate::http) struct AssetMessage {
    message: String,
}

/// It is there.
#[derive(ToSchema)]
pub(in crate::http) struct Healthy {
    #[schema(schema_with = always_true)]
    success: bool,
    message: String,
}
