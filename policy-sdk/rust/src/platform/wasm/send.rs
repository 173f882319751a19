//! One HTTP request over `wasi:http`, from the first header to the last byte of the answer.

use crate::bindings::policy::wasi::http::outgoing_handler;
use crate::bindings::policy::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
    http_error_code,
};
use crate::bindings::policy::wasi::io::streams::StreamError;
use crate::http::{Error, Request, Response};

const CHUNK_BYTES: u64 = 64 * 1024;
/// What one `blocking-write-and-flush` may carry.
const WRITE_BYTES: usize = 4096;

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let url = Url::parse(&request.url)?;
    let outgoing = outgoing(request, &url)?;
    let body = outgoing.body().map_err(|()| internal("the request has no body to write"))?;
    let pending = outgoing_handler::handle(outgoing, options(request)).map_err(|code| named(&code))?;
    write_body(body, &request.body)?;
    pending.subscribe().block();
    let response = pending.get().ok_or_else(|| internal("no answer after waiting for it"))?;
    let response = response.map_err(|()| internal("the answer was taken twice"))?;
    receive(&response.map_err(|code| named(&code))?, request.max_body_bytes)
}

fn outgoing(request: &Request, url: &Url<'_>) -> Result<OutgoingRequest, Error> {
    let headers = Fields::from_list(&request.headers)
        .map_err(|_| Error::new("HTTP-request-header-size", "a header was refused by the host"))?;
    let outgoing = OutgoingRequest::new(headers);
    let invalid = |()| invalid_url("refused by the host");
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| Error::new("HTTP-request-method-invalid", request.method.clone()))?;
    outgoing.set_scheme(Some(&url.scheme)).map_err(invalid)?;
    outgoing.set_authority(Some(url.authority)).map_err(invalid)?;
    outgoing.set_path_with_query(Some(&url.path_with_query)).map_err(invalid)?;
    Ok(outgoing)
}

fn options(request: &Request) -> Option<RequestOptions> {
    let timeout_ns = request.timeout_ms?.saturating_mul(1_000_000);
    let options = RequestOptions::new();
    // A host that does not know one of them is still held by the call's deadline.
    let _ = options.set_connect_timeout(Some(timeout_ns));
    let _ = options.set_first_byte_timeout(Some(timeout_ns));
    let _ = options.set_between_bytes_timeout(Some(timeout_ns));
    Some(options)
}

fn write_body(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| internal("the request body was taken twice"))?;
        for chunk in bytes.chunks(WRITE_BYTES) {
            // An answer may come before the whole request is read: what the host says about it is the better error.
            if stream.blocking_write_and_flush(chunk).is_err() {
                return Ok(());
            }
        }
    }
    OutgoingBody::finish(body, None).map_err(|code| named(&code))
}

fn receive(response: &IncomingResponse, max_body_bytes: usize) -> Result<Response, Error> {
    let headers = response.headers().entries();
    let body = response.consume().map_err(|()| internal("the answer's body was taken twice"))?;
    Ok(Response { status: response.status(), headers, body: read_body(&body, max_body_bytes)? })
}

fn read_body(body: &IncomingBody, max_body_bytes: usize) -> Result<Vec<u8>, Error> {
    let stream = body.stream().map_err(|()| internal("the answer's body was taken twice"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) if chunk.len() > max_body_bytes.saturating_sub(bytes.len()) => {
                return Err(Error::new("HTTP-response-body-size", format!("more than {max_body_bytes} bytes")));
            }
            Ok(chunk) if bytes.is_empty() => bytes = chunk,
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(err)) => {
                return Err(http_error_code(&err).map_or_else(|| internal(&err.to_debug_string()), |code| named(&code)));
            }
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

struct Url<'a> {
    scheme: Scheme,
    authority: &'a str,
    path_with_query: String,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid_url("no scheme"))?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => Scheme::Other(other.to_owned()),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _fragment)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() || authority.contains('@') {
            return Err(invalid_url("needs a host, and no user"));
        }
        let path_with_query = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, authority, path_with_query })
    }
}

fn invalid_url(why: &str) -> Error {
    Error::new("HTTP-request-URI-invalid", why)
}

fn internal(why: &str) -> Error {
    Error::new("internal-error", why)
}

fn named(code: &ErrorCode) -> Error {
    let message = match code {
        ErrorCode::InternalError(Some(why)) => why.clone(),
        _ => String::new(),
    };
    Error::new(name(code), message)
}

/// The name that `wasi:http` gives the error.
fn name(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::DnsTimeout => "DNS-timeout",
        ErrorCode::DnsError(_) => "DNS-error",
        ErrorCode::DestinationNotFound => "destination-not-found",
        ErrorCode::DestinationUnavailable => "destination-unavailable",
        ErrorCode::DestinationIpProhibited => "destination-IP-prohibited",
        ErrorCode::DestinationIpUnroutable => "destination-IP-unroutable",
        ErrorCode::ConnectionRefused => "connection-refused",
        ErrorCode::ConnectionTerminated => "connection-terminated",
        ErrorCode::ConnectionTimeout => "connection-timeout",
        ErrorCode::ConnectionReadTimeout => "connection-read-timeout",
        ErrorCode::ConnectionWriteTimeout => "connection-write-timeout",
        ErrorCode::ConnectionLimitReached => "connection-limit-reached",
        ErrorCode::TlsProtocolError => "TLS-protocol-error",
        ErrorCode::TlsCertificateError => "TLS-certificate-error",
        ErrorCode::TlsAlertReceived(_) => "TLS-alert-received",
        ErrorCode::HttpRequestDenied => "HTTP-request-denied",
        ErrorCode::HttpRequestLengthRequired => "HTTP-request-length-required",
        ErrorCode::HttpRequestBodySize(_) => "HTTP-request-body-size",
        ErrorCode::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
        ErrorCode::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
        ErrorCode::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
        ErrorCode::HttpRequestHeaderSectionSize(_) => "HTTP-request-header-section-size",
        ErrorCode::HttpRequestHeaderSize(_) => "HTTP-request-header-size",
        ErrorCode::HttpRequestTrailerSectionSize(_) => "HTTP-request-trailer-section-size",
        ErrorCode::HttpRequestTrailerSize(_) => "HTTP-request-trailer-size",
        ErrorCode::HttpResponseIncomplete => "HTTP-response-incomplete",
        ErrorCode::HttpResponseHeaderSectionSize(_) => "HTTP-response-header-section-size",
        ErrorCode::HttpResponseHeaderSize(_) => "HTTP-response-header-size",
        ErrorCode::HttpResponseBodySize(_) => "HTTP-response-body-size",
        ErrorCode::HttpResponseTrailerSectionSize(_) => "HTTP-response-trailer-section-size",
        ErrorCode::HttpResponseTrailerSize(_) => "HTTP-response-trailer-size",
        ErrorCode::HttpResponseTransferCoding(_) => "HTTP-response-transfer-coding",
        ErrorCode::HttpResponseContentCoding(_) => "HTTP-response-content-coding",
        ErrorCode::HttpResponseTimeout => "HTTP-response-timeout",
        ErrorCode::HttpUpgradeFailed => "HTTP-upgrade-failed",
        ErrorCode::HttpProtocolError => "HTTP-protocol-error",
        ErrorCode::LoopDetected => "loop-detected",
        ErrorCode::ConfigurationError => "configuration-error",
        ErrorCode::InternalError(_) => "internal-error",
    }
}
