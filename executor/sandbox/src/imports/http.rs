//! Outgoing requests: to granted origins, at checked addresses, within bounds.
//!
//! The guest's side of `wasi:http` is wasmtime's. What is decided here is whether a request goes out at all (the
//! grant, the number of requests) and how: a name is resolved once, every address it has must be admitted, and the
//! connection is made to an address that was checked, so that no second answer of a name server can change it.
//! Redirects are not followed: the guest sees them, and a request to the new place needs its own grant.

use std::{
    future::Future,
    mem::discriminant,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{self as http_body, Frame};
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
        types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest},
    },
};
use wasmtime_wasi_io::poll::Pollable as _;

use crate::{
    log::Level,
    recorder::{Canned, Recorder},
    state::{State, Stopped},
    tape::{Event, Exchange, HttpAnswer, Question, Unknown},
};

/// Bytes of one response body.
const MAX_RESPONSE: usize = 16 << 20;
/// Bytes that a guest may write of a request's body before somebody reads them.
const CHUNK: usize = 64 << 10;
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
    /// Whether this is a replay, in which nothing goes out.
    pub(crate) is_playing: bool,
    /// Where the next request's answer is to be taken down, if it is.
    exchange: Option<Arc<Exchange>>,
    /// What the next request is answered with, if it is not to go out.
    recorded: Option<HttpAnswer>,
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
        let (client, exchange, recorded) = (self.clone(), None, None);
        Hooks { client, recorder, requests_left: allowed, allowed, is_playing: false, exchange, recorded }
    }
}

/// Links by hand what is decided on, or recorded, before wasmtime's own sees it: that a request goes out, and whether its
/// response has come.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap("handle", handle)?;
    linker.allow_shadowing(true);
    linker
        .instance("wasi:http/types@0.2.12")?
        .func_wrap_async("[method]future-incoming-response.get", |store, (response,)| Box::new(get(store, response)))?;
    linker.allow_shadowing(false);
    Ok(())
}

type Got = Option<Result<Result<Resource<HostIncomingResponse>, wasi::ErrorCode>, ()>>;

async fn get(
    mut store: StoreContextMut<'_, State>,
    response: Resource<HostFutureIncomingResponse>,
) -> wasmtime::Result<(Got,)> {
    let state = store.data_mut();
    state.count_host_call()?;
    let told = state.tape.told(&Question::new("http.response", Unknown::Fine), |event| match event {
        Event::Response { ready } => Some(*ready),
        _ => None,
    })?;
    match told.filter(|_| state.tape.is_exact()) {
        Some(false) => return Ok((None,)),
        Some(true) => state.table.get_mut(&response)?.ready().await,
        None => {}
    }
    let mut view = WasiHttpCtxView { hooks: &mut state.hooks, table: &mut state.table, ctx: &mut state.http_ctx };
    let got = wasi::HostFutureIncomingResponse::get(&mut view, response)?;
    state.tape.note(|| Event::Response { ready: got.is_some() });
    Ok((got,))
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
        self.listen(&request).map_err(trap)?;
        let mut view = WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http_ctx };
        outgoing_handler::Host::handle(&mut view, request, options)
    }
}

impl State {
    /// Has the answer to a request taken down, or in a replay taken from the record.
    fn listen(&mut self, request: &Resource<HostOutgoingRequest>) -> wasmtime::Result<()> {
        let request = self.table.get(request)?;
        let method = match &request.method {
            wasi::Method::Other(other) => other.clone(),
            known => format!("{known:?}").trim_start_matches("Method::").to_uppercase(),
        };
        let origin = requested_origin(request).map(|origin| origin.to_string()).unwrap_or_default();
        let url = format!("{origin}{}", request.path_with_query.as_deref().unwrap_or("/"));
        let question = Question::new("http.request", Unknown::Stop).about(&url);
        self.hooks.recorded = self.tape.told(&question, |event| match event {
            Event::Http { method: by, url: to, answer } if *by == method && *to == url => Some(answer.clone()),
            _ => None,
        })?;
        self.hooks.exchange = self.tape.exchange(&method, &url);
        Ok(())
    }

    /// Whether a request may go out.
    fn admit(&mut self, request: &Resource<HostOutgoingRequest>) -> HttpResult<()> {
        let request = self.table.get(request).map_err(trap)?;
        let origin = requested_origin(request).ok_or(wasi::ErrorCode::HttpRequestUriInvalid)?;
        if !self.grant.permits_http(&origin) {
            self.denied(&format!("`capabilities.http` with `{origin}`"));
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
        CHUNK
    }

    /// In a replay a guest writes when it did, whether or not anybody has read what it wrote before.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        if self.is_playing { MAX_REQUEST / CHUNK } else { 1 }
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _finished: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let exchange = self.exchange.take();
        if let Some(answer) = self.recorded.take() {
            return Box::new(replay(answer, request.into_body()));
        }
        if let Some(canned) = self.recorder.answer(request.method().as_str(), &request.uri().to_string()) {
            return Box::new(async move { taken_down(respond(canned), exchange) });
        }
        let client = self.client.clone();
        Box::new(async move { taken_down(client.send(request, options.unwrap_or_default()).await, exchange) })
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
    match canned {
        Canned::Error(code) => Err(error_of(&code)),
        Canned::Response { status, headers, body } => {
            response(status, headers, Full::new(Bytes::from(body)).map_err(|never| match never {}))
        }
    }
}

fn response<N, V>(
    status: u16,
    headers: Vec<(N, V)>,
    body: impl http_body::Body<Data = Bytes, Error = Error> + Send + 'static,
) -> Sent
where
    http::HeaderName: TryFrom<N, Error: Into<http::Error>>,
    http::HeaderValue: TryFrom<V, Error: Into<http::Error>>,
{
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let response = response.body(body.boxed_unsync()).map_err(|_| Error::HttpProtocolError)?;
    Ok((response, Box::new(async { Ok(()) })))
}

/// The errors that may be told to a guest, by their names in `wasi:http`.
fn errors() -> [(&'static str, Error); 28] {
    [
        ("DNS-timeout", Error::DnsTimeout),
        ("DNS-error", dns_error()),
        ("destination-not-found", Error::DestinationNotFound),
        ("destination-unavailable", Error::DestinationUnavailable),
        ("destination-IP-prohibited", Error::DestinationIpProhibited),
        ("destination-IP-unroutable", Error::DestinationIpUnroutable),
        ("connection-refused", Error::ConnectionRefused),
        ("connection-terminated", Error::ConnectionTerminated),
        ("connection-timeout", Error::ConnectionTimeout),
        ("connection-read-timeout", Error::ConnectionReadTimeout),
        ("connection-write-timeout", Error::ConnectionWriteTimeout),
        ("connection-limit-reached", Error::ConnectionLimitReached),
        ("TLS-protocol-error", Error::TlsProtocolError),
        ("TLS-certificate-error", Error::TlsCertificateError),
        ("HTTP-request-denied", Error::HttpRequestDenied),
        ("HTTP-request-length-required", Error::HttpRequestLengthRequired),
        ("HTTP-request-body-size", Error::HttpRequestBodySize(Some(MAX_REQUEST as u64))),
        ("HTTP-request-method-invalid", Error::HttpRequestMethodInvalid),
        ("HTTP-request-URI-invalid", Error::HttpRequestUriInvalid),
        ("HTTP-request-URI-too-long", Error::HttpRequestUriTooLong),
        ("HTTP-response-incomplete", Error::HttpResponseIncomplete),
        ("HTTP-response-body-size", Error::HttpResponseBodySize(Some(MAX_RESPONSE as u64))),
        ("HTTP-response-timeout", Error::HttpResponseTimeout),
        ("HTTP-upgrade-failed", Error::HttpUpgradeFailed),
        ("HTTP-protocol-error", Error::HttpProtocolError),
        ("loop-detected", Error::LoopDetected),
        ("configuration-error", Error::ConfigurationError),
        ("internal-error", Error::InternalError(None)),
    ]
}

/// The error with this name; what is no name is the message of an internal one.
fn error_of(code: &str) -> Error {
    let found = errors().into_iter().find_map(|(name, error)| (name == code).then_some(error));
    found.unwrap_or_else(|| Error::InternalError(Some(code.to_owned())))
}

/// What [`error_of`] makes this error of.
fn code_of(error: &Error) -> String {
    if let Error::InternalError(Some(message)) = error {
        return message.clone();
    }
    let found = errors().into_iter().find(|(_, known)| discriminant(known) == discriminant(error));
    found.map_or_else(|| format!("{error:?}"), |(name, _)| name.to_owned())
}

/// What came of a request, taken down as the guest asks for it.
fn taken_down(sent: Sent, exchange: Option<Arc<Exchange>>) -> Sent {
    let Some(exchange) = exchange else { return sent };
    match sent {
        Err(error) => {
            exchange.failed(code_of(&error));
            Err(error)
        }
        Ok((response, io)) => {
            exchange.head(response.status().as_u16(), response.headers());
            Ok((response.map(|body| Overheard { body, exchange }.boxed_unsync()), io))
        }
    }
}

/// A body of which everything that is read is taken down.
struct Overheard {
    body: WasiBody,
    exchange: Arc<Exchange>,
}

impl http_body::Body for Overheard {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().into_iter().for_each(|data| self.exchange.data(data)),
            Poll::Ready(Some(Err(error))) => self.exchange.broken(code_of(error)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

/// The answer that was recorded, to a request that goes nowhere.
async fn replay(answer: HttpAnswer, asked: WasiBody) -> Sent {
    // The guest may go on writing after it has its answer.
    tokio::spawn(asked.collect());
    match answer {
        HttpAnswer::None => std::future::pending().await,
        HttpAnswer::Error(code) => Err(error_of(&code)),
        HttpAnswer::Response { status, headers, body, broken } => {
            let headers = headers.into_iter().map(|(name, value)| (name, value.0)).collect();
            let whole = Ok(Frame::data(Bytes::from(body.0)));
            let frames = std::iter::once(whole).chain(broken.map(|code| Err(error_of(&code))));
            response(status, headers, StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>())))
        }
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
