//! Outgoing requests: to granted origins, at checked addresses, within bounds.
//!
//! The guest's side of `wasi:http` is wasmtime's. What is decided here is whether a request goes out at all (the
//! grant, the number of requests) and how: a name is resolved once, every address it has must be admitted, and the
//! connection is made to an address that was checked, so that no second answer of a name server can change it.
//! Redirects are not followed: the guest sees them, and a request to the new place needs its own grant.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use lictor_model::{Limits, Origin, StopKind, address::AllowPrivate};
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks,
    p2::{
        HttpResult,
        bindings::http::{outgoing_handler, types as wasi},
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
};

use crate::{
    log::Level,
    recorder::{Canned, Recorder},
    state::{State, Stopped},
};

/// Bytes of one response body.
const MAX_RESPONSE: usize = 16 << 20;
/// Bytes of one request body.
const MAX_REQUEST: usize = 16 << 20;
/// How long a connection may take. The end of the call ends it sooner.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses that one name may have.
const MAX_ADDRESSES: usize = 64;

/// Sends the requests of all guests.
#[derive(Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    allow_private: AllowPrivate,
    lookup: Lookup,
    tls: OnceLock<Result<TlsConnector, String>>,
}

/// What one instance may send.
pub(crate) struct Hooks {
    client: Client,
    recorder: Arc<dyn Recorder>,
    pub(crate) requests_left: u64,
    allowed: u64,
}

/// Asks for the addresses of a name.
type Lookup = fn(String, u16) -> BoxFuture<std::io::Result<Vec<SocketAddr>>>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the machine's own resolver says.
fn ask_the_system(host: String, port: u16) -> BoxFuture<std::io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.take(MAX_ADDRESSES).collect()) })
}

impl Client {
    pub(crate) fn new(allow_private: AllowPrivate) -> Self {
        Self::asking(ask_the_system, allow_private)
    }

    fn asking(lookup: Lookup, allow_private: AllowPrivate) -> Self {
        Self { shared: Arc::new(Shared { allow_private, lookup, tls: OnceLock::new() }) }
    }

    pub(crate) fn hooks(&self, limits: &Limits, recorder: Arc<dyn Recorder>) -> Hooks {
        let allowed = limits.http_requests();
        Hooks { client: self.clone(), recorder, requests_left: allowed, allowed }
    }
}

/// Links `outgoing-handler` by hand: the request is decided on before wasmtime's own handler sees it.
pub(super) fn add_handler_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap("handle", handle)
}

type Handled = Result<Resource<HostFutureIncomingResponse>, wasi::ErrorCode>;

fn handle(
    mut store: StoreContextMut<'_, State>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<wasi::RequestOptions>>),
) -> wasmtime::Result<(Handled,)> {
    let state = store.data_mut();
    state.count_host_call()?;
    match state.send(request, options) {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

impl State {
    fn send(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<wasi::RequestOptions>>,
    ) -> HttpResult<Resource<HostFutureIncomingResponse>> {
        if let Err(refusal) = self.admit(&request) {
            // The guest has given both away: an instance that stays must not be left with them.
            self.table.delete(request).map_err(trap)?;
            options.map(|options| self.table.delete(options)).transpose().map_err(trap)?;
            return Err(refusal);
        }
        self.hooks.take_request().map_err(trap)?;
        let mut view = WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http_ctx };
        outgoing_handler::Host::handle(&mut view, request, options)
    }
}

impl State {
    /// Whether a request may go out.
    fn admit(&self, request: &Resource<HostOutgoingRequest>) -> HttpResult<()> {
        let request = self.table.get(request).map_err(trap)?;
        let origin = requested_origin(request).ok_or(wasi::ErrorCode::HttpRequestUriInvalid)?;
        if !self.grant.permits_http(&origin) {
            self.log.denied(&format!("`capabilities.http` with `{origin}`"));
            return Err(wasi::ErrorCode::HttpRequestDenied.into());
        }
        if self.dry_run && !is_safe(&request.method) {
            self.log.say(Level::Warn, "dry run", "a request is not sent: its method may change something elsewhere");
            return Err(wasi::ErrorCode::HttpRequestDenied.into());
        }
        Ok(())
    }
}

fn trap(error: impl Into<wasmtime::Error>) -> wasmtime_wasi_http::p2::HttpError {
    wasmtime_wasi_http::p2::HttpError::trap(error.into())
}

fn requested_origin(request: &HostOutgoingRequest) -> Option<Origin> {
    let scheme = match request.scheme.as_ref()? {
        wasi::Scheme::Http => "http",
        wasi::Scheme::Https => "https",
        wasi::Scheme::Other(_) => return None,
    };
    let authority = request.authority.as_deref()?;
    let url = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    if bare { Origin::of(&url) } else { None }
}

/// Whether a method promises to change nothing (RFC 9110, section 9.2.1).
fn is_safe(method: &wasi::Method) -> bool {
    matches!(method, wasi::Method::Get | wasi::Method::Head | wasi::Method::Options | wasi::Method::Trace)
}

impl Hooks {
    fn take_request(&mut self) -> Result<(), Stopped> {
        let allowed = self.allowed;
        let too_many =
            || Stopped::new(StopKind::HostcallLimit, format!("the policy sent more than {allowed} requests"));
        self.requests_left = self.requests_left.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        None
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 * 1024
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _finished: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if let Some(canned) = self.recorder.answer(request.method().as_str(), &request.uri().to_string()) {
            return Box::new(async move { respond(canned) });
        }
        let client = self.client.clone();
        Box::new(async move { client.send(request, options.unwrap_or_default()).await })
    }
}

impl Client {
    async fn send(&self, request: http::Request<WasiBody>, options: RequestOptions) -> Sent {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let origin = Origin::of(&url).ok_or(Error::HttpRequestUriInvalid)?;
        let connect = options.connect_timeout.map_or(CONNECT, |asked| asked.min(CONNECT));
        let stream =
            tokio::time::timeout(connect, self.connect(&origin)).await.map_err(|_| Error::ConnectionTimeout)??;
        if origin.scheme() == "http" {
            return exchange(stream, request, &options).await;
        }
        let name = ServerName::try_from(origin.host().to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let handshake = tokio::time::timeout(connect, self.tls()?.connect(name, stream));
        let stream = handshake.await.map_err(|_| Error::ConnectionTimeout)?.map_err(|_| Error::TlsProtocolError)?;
        exchange(stream, request, &options).await
    }

    async fn connect(&self, origin: &Origin) -> Result<TcpStream, Error> {
        let mut last = Error::DestinationUnavailable;
        for address in self.addresses(origin).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    drop(stream.set_nodelay(true));
                    return Ok(stream);
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => last = Error::ConnectionRefused,
                Err(_) => {}
            }
        }
        Err(last)
    }

    /// Every address of the origin's host, all of them admitted.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
        let host = origin.host().trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, origin.port())],
            Err(_) => {
                let found = (self.shared.lookup)(host.to_owned(), origin.port()).await;
                found.map_err(|_| dns_error())?
            }
        };
        if found.iter().all(|address| self.shared.allow_private.permits(host, address.ip())) {
            return Ok(found);
        }
        Err(Error::DestinationIpProhibited)
    }

    fn tls(&self) -> Result<&TlsConnector, Error> {
        let made = self.shared.tls.get_or_init(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .and_then(|builder| builder.with_platform_verifier())
                .map_err(|error| error.to_string())?
                .with_no_client_auth();
            Ok(TlsConnector::from(Arc::new(config)))
        });
        made.as_ref().map_err(|error| Error::InternalError(Some(error.clone())))
    }
}

/// An answer that was not fetched.
fn respond(canned: Canned) -> Sent {
    let (status, headers, body) = match canned {
        Canned::Response { status, headers, body } => (status, headers, body),
        Canned::Error(code) => return Err(error_of(code)),
    };
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body: WasiBody = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
    let response = response.body(body).map_err(|_| Error::HttpProtocolError)?;
    Ok((response, Box::new(async { Ok(()) })))
}

fn error_of(code: String) -> Error {
    match code.as_str() {
        "DNS-timeout" => Error::DnsTimeout,
        "DNS-error" => dns_error(),
        "destination-not-found" => Error::DestinationNotFound,
        "destination-unavailable" => Error::DestinationUnavailable,
        "destination-IP-prohibited" => Error::DestinationIpProhibited,
        "destination-IP-unroutable" => Error::DestinationIpUnroutable,
        "connection-refused" => Error::ConnectionRefused,
        "connection-terminated" => Error::ConnectionTerminated,
        "connection-timeout" => Error::ConnectionTimeout,
        "connection-read-timeout" => Error::ConnectionReadTimeout,
        "connection-write-timeout" => Error::ConnectionWriteTimeout,
        "connection-limit-reached" => Error::ConnectionLimitReached,
        "TLS-protocol-error" => Error::TlsProtocolError,
        "TLS-certificate-error" => Error::TlsCertificateError,
        "HTTP-request-denied" => Error::HttpRequestDenied,
        "HTTP-request-length-required" => Error::HttpRequestLengthRequired,
        "HTTP-request-body-size" => Error::HttpRequestBodySize(None),
        "HTTP-request-method-invalid" => Error::HttpRequestMethodInvalid,
        "HTTP-request-URI-invalid" => Error::HttpRequestUriInvalid,
        "HTTP-request-URI-too-long" => Error::HttpRequestUriTooLong,
        "HTTP-response-incomplete" => Error::HttpResponseIncomplete,
        "HTTP-response-body-size" => Error::HttpResponseBodySize(None),
        "HTTP-response-timeout" => Error::HttpResponseTimeout,
        "HTTP-upgrade-failed" => Error::HttpUpgradeFailed,
        "HTTP-protocol-error" => Error::HttpProtocolError,
        "loop-detected" => Error::LoopDetected,
        "configuration-error" => Error::ConfigurationError,
        "internal-error" => Error::InternalError(None),
        _ => Error::InternalError(Some(code)),
    }
}

fn dns_error() -> Error {
    Error::DnsError { rcode: None, info_code: None }
}

/// Sends the request over a connection of its own and returns the head of the response.
async fn exchange<S>(stream: S, request: http::Request<WasiBody>, options: &RequestOptions) -> Sent
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| Error::HttpProtocolError)?;
    let io = async move { connection.await.map_err(|_| Error::ConnectionTerminated) };
    let request = relative(request)?;
    let io: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(io);
    let mut io = Box::into_pin(io);
    let response = async {
        let response = sender.send_request(request);
        match options.first_byte_timeout {
            Some(limit) => tokio::time::timeout(limit, response).await.map_err(|_| Error::HttpResponseTimeout)?,
            None => response.await,
        }
        .map_err(|_| Error::HttpProtocolError)
    };
    tokio::pin!(response);
    let mut over = false;
    // The connection has to be driven for the response to come.
    let response = loop {
        tokio::select! {
            response = &mut response => break response?,
            // Once: a connection that has ended without an error may still hand over what came before, and must not be
            // asked again.
            ended = &mut io, if !over => {
                over = true;
                ended?;
            }
        }
    };
    let response = response.map(|body| {
        Limited::new(body, MAX_RESPONSE)
            .map_err(|_| Error::HttpResponseBodySize(Some(MAX_RESPONSE as u64)))
            .boxed_unsync()
    });
    let io: Box<dyn Future<Output = Result<(), Error>> + Send> =
        if over { Box::new(async { Ok(()) }) } else { Box::new(io) };
    Ok((response, io))
}

/// The request as it goes on the wire: only path and query, its body bounded.
fn relative(request: http::Request<WasiBody>) -> Result<http::Request<WasiBody>, Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    parts.uri = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let body = Limited::new(body, MAX_REQUEST).map_err(|_| Error::HttpRequestBodySize(Some(MAX_REQUEST as u64)));
    let body: WasiBody = body.map_frame(|frame| frame.map_data(Bytes::from)).boxed_unsync();
    Ok(http::Request::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// How often a name was asked for.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// A name that is somewhere else each time: at what is allowed, then at what is not, then at both.
    fn rebinds(_host: String, port: u16) -> BoxFuture<std::io::Result<Vec<SocketAddr>>> {
        let (allowed, other) = (SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([127, 0, 0, 2], port)));
        let found = match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => vec![allowed],
            1 => vec![other],
            _ => vec![allowed, other],
        };
        Box::pin(async move { Ok(found) })
    }

    // attack 37: a name whose addresses change.
    #[tokio::test]
    async fn a_name_is_asked_for_once_and_every_address_is_checked_each_time() {
        let allowed = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = allowed.local_addr().unwrap().port();
        let victim = TcpListener::bind(("127.0.0.2", port)).unwrap();
        victim.set_nonblocking(true).unwrap();
        let client = Client::asking(rebinds, AllowPrivate::parse(["127.0.0.1"]).unwrap());
        let origin = Origin::of(&Url::parse(&format!("http://a.example:{port}/")).unwrap()).unwrap();
        let stream = client.connect(&origin).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        for _ in 0..2 {
            let refused = client.connect(&origin).await.unwrap_err();
            assert!(matches!(refused, Error::DestinationIpProhibited), "{refused:?}");
        }
        assert!(victim.accept().is_err(), "somebody was sent there");
    }
}
