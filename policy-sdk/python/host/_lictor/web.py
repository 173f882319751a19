"""One HTTP request over `wasi:http`."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams
from wit_world.imports import wasi_http_types as http

# What one write may take.
MAX_WRITE = 4096
MAX_READ = 65536

METHODS = {
    "GET": http.Method_Get,
    "HEAD": http.Method_Head,
    "POST": http.Method_Post,
    "PUT": http.Method_Put,
    "DELETE": http.Method_Delete,
    "OPTIONS": http.Method_Options,
    "PATCH": http.Method_Patch,
    "TRACE": http.Method_Trace,
}
# What the host sets itself.
HOP_BY_HOP = frozenset(
    "connection host http2-settings keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade".split()
)


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Unanswered(OSError):
    """There was no answer."""


class NotGranted(Unanswered, PermissionError):
    """The policy may not send this request."""


class TimedOut(Unanswered, TimeoutError):
    """The answer did not come in time."""


def send(
    method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes | None, timeout: float | None
) -> Answer:
    """Sends a request and reads the whole answer. `timeout` in seconds."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        return exchange(request(method, parts, headers, body), body, options(timeout))
    except Err as error:
        raise why(error.value, origin) from None


def request(method: str, parts: object, headers: Iterable[tuple[str, str]], body: bytes | None) -> http.OutgoingRequest:
    fields = [(name.lower(), value.encode("latin-1")) for name, value in headers if name.lower() not in HOP_BY_HOP]
    if body is not None and all(name != "content-length" for name, _ in fields):
        fields.append(("content-length", str(len(body)).encode()))
    made = http.OutgoingRequest(http.Fields.from_list(fields))
    known = METHODS.get(method.upper())
    made.set_method(known() if known else http.Method_Other(method))
    made.set_scheme(http.Scheme_Https() if parts.scheme == "https" else http.Scheme_Http())  # type: ignore[attr-defined]
    made.set_authority(parts.netloc.rpartition("@")[2])  # type: ignore[attr-defined]
    query = f"?{parts.query}" if parts.query else ""  # type: ignore[attr-defined]
    made.set_path_with_query((parts.path or "/") + query)  # type: ignore[attr-defined]
    return made


def options(timeout: float | None) -> http.RequestOptions | None:
    if timeout is None:
        return None
    made, ns = http.RequestOptions(), max(1, int(timeout * 1e9))
    made.set_connect_timeout(ns)
    made.set_first_byte_timeout(ns)
    made.set_between_bytes_timeout(ns)
    return made


def exchange(outgoing: http.OutgoingRequest, body: bytes | None, given: http.RequestOptions | None) -> Answer:
    sink = outgoing.body()
    future = outgoing_handler.handle(outgoing, given)
    if body:
        write(sink, body)
    http.OutgoingBody.finish(sink, None)
    with future.subscribe() as ready:
        ready.block()
    with settled(future) as response:
        headers = [(name, value.decode("latin-1")) for name, value in response.headers().entries()]
        return Answer(response.status(), headers, read(response))


def settled(future: http.FutureIncomingResponse) -> http.IncomingResponse:
    got = future.get()
    while isinstance(got, Ok):
        got = got.value  # type: ignore[assignment]
    if isinstance(got, Err):
        raise got
    assert got is not None
    return got  # type: ignore[return-value]


def write(sink: http.OutgoingBody, body: bytes) -> None:
    with sink.write() as stream:
        for start in range(0, len(body), MAX_WRITE):
            stream.blocking_write_and_flush(body[start : start + MAX_WRITE])


def read(response: http.IncomingResponse) -> bytes:
    parts = []
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(MAX_READ))
            except Err as end:
                if isinstance(end.value, streams.StreamError_Closed):
                    return b"".join(parts)
                raise


def why(error: object, origin: str) -> Unanswered:
    """What went wrong, in words."""
    kind = type(error).__name__.removeprefix("ErrorCode_")
    if isinstance(error, http.ErrorCode_HttpRequestDenied):
        return NotGranted(f"the policy was not granted requests to {origin} (`capabilities.http`)")
    if isinstance(error, http.ErrorCode_DestinationIpProhibited):
        return NotGranted(f"the address of {origin} is private, and this executor does not admit it")
    text = " ".join(words(kind))
    said = getattr(error, "value", None)
    more = f": {said}" if isinstance(said, str) and said else ""
    if kind.endswith("Timeout"):
        return TimedOut(f"{origin}: {text}{more}")
    if isinstance(error, streams.StreamError_LastOperationFailed):
        text = "the connection was lost"
    return Unanswered(f"{origin}: {text}{more}")


def words(name: str) -> list[str]:
    res = [""]
    for c in name:
        if c.isupper():
            res.append("")
        res[-1] += c.lower()
    return res[1:]
