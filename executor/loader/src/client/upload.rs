//! A file sent as a form, as a person's browser or `curl -F` sends it.

use std::time::Instant;

use bytes::Bytes;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use tokio::time;
use url::Url;

use super::{Answer, Client, Unanswered, receive};
use crate::reach::Trouble;

/// A form with one file.
#[derive(Clone, Debug)]
pub struct Upload<'a> {
    /// Where to.
    pub url: &'a str,
    /// The name of the file's part, the name of the file, and its bytes.
    pub file: (&'static str, String, Bytes),
    /// The other parts: names and values.
    pub fields: Vec<(&'static str, String)>,
    /// When everything must be over.
    pub deadline: Instant,
    /// The most bytes of an answer.
    pub max_bytes: usize,
}

impl Client {
    /// Sends the form and reads the whole answer.
    pub async fn upload(&self, upload: Upload<'_>) -> Result<Answer, Unanswered> {
        let left = upload.deadline.saturating_duration_since(Instant::now());
        match time::timeout(left, self.upload_patiently(upload)).await {
            Ok(res) => res,
            Err(_) => Err(Trouble::Slow.into()),
        }
    }

    async fn upload_patiently(&self, upload: Upload<'_>) -> Result<Answer, Unanswered> {
        let url = Url::parse(upload.url).map_err(|error| Unanswered(format!("is no URL: {error}")))?;
        let (part, name, bytes) = upload.file;
        // A file of which nothing is known but its bytes.
        let file = Part::stream(bytes).file_name(name).mime_str("application/octet-stream");
        let file = file.map_err(|error| Unanswered(error.to_string()))?;
        let form = upload.fields.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value));
        let request = self.request(Method::POST, &url)?.multipart(form.part(part, file));
        let response = request.send().await.map_err(|error| Unanswered::from(Trouble::of(&error)))?;
        receive(response, upload.max_bytes).await
    }
}
