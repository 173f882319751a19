"""`http.client`, and so `urllib.request`, over `wasi:http` instead of sockets."""

import errno
import http.client
import io
import socket
from typing import Any

from . import web


class Socket:
    """The bytes of an answer, where `http.client` expects a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


class HTTPConnection(http.client.HTTPConnection):
    """A connection that is one request at a time, sent by the host."""

    scheme = "http"

    def __init__(self, host: str, port: int | None = None, timeout: Any = None, *_: Any, **__: Any) -> None:
        super().__init__(host, port)
        self.patience = timeout if isinstance(timeout, (int, float)) else None
        self.asked: tuple[str, str, dict[str, str]] = ("GET", "/", {})
        self.sent: list[bytes] = []
        self.answer: web.Answer | None = None

    def connect(self) -> None:
        pass

    def close(self) -> None:
        self.sent.clear()

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = (), *, encode_chunked: bool = False
    ) -> None:
        self.asked, self.sent = (method, url, dict(headers)), []
        if body is not None:
            self.send(body)
        # Now, since this is where callers expect a connection to fail.
        self.answer = self.exchange()

    def putrequest(self, method: str, url: str, *_: Any, **__: Any) -> None:
        self.asked, self.sent, self.answer = (method, url, {}), [], None

    def putheader(self, header: Any, *values: Any) -> None:
        name = header.decode("latin-1") if isinstance(header, bytes) else header
        texts = [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in values]
        self.asked[2][name] = "\r\n\t".join(texts)

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        if message_body is not None:
            self.send(message_body)

    def send(self, data: Any) -> None:
        if hasattr(data, "read"):
            data = data.read()
        if isinstance(data, str):
            data = data.encode("latin-1")
        elif not isinstance(data, (bytes, bytearray, memoryview)):
            data = b"".join(data)
        self.sent.append(bytes(data))

    def getresponse(self) -> http.client.HTTPResponse:
        answer, self.answer = self.answer or self.exchange(), None
        return parsed(self.asked[0], answer)

    def exchange(self) -> web.Answer:
        method, path, headers = self.asked
        default = self.port in (None, self.default_port)
        url = f"{self.scheme}://{self.host}{'' if default else f':{self.port}'}{path}"
        body = b"".join(self.sent) if self.sent else None
        self.sent.clear()
        return web.send(method, url, headers.items(), body, self.patience)


class HTTPSConnection(HTTPConnection):
    """The same, encrypted by the host."""

    scheme = "https"
    default_port = 443


def parsed(method: str, answer: web.Answer) -> http.client.HTTPResponse:
    """An answer as `http.client` gives it."""
    framing = ("transfer-encoding", "content-length", "connection")
    lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() not in framing]
    lines += [f"content-length: {len(answer.body)}", "", ""]
    response = http.client.HTTPResponse(Socket("\r\n".join(lines).encode("latin-1") + answer.body), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


def install() -> None:
    http.client.HTTPConnection = HTTPConnection  # type: ignore[misc]
    http.client.HTTPSConnection = HTTPSConnection  # type: ignore[misc]
    # Certificates are checked by the host.
    http.client._create_https_context = lambda version: None  # type: ignore[attr-defined]
    for name in ("bind", "connect", "connect_ex", "listen", "sendto"):
        setattr(socket.socket, name, no_sockets)
    for name in ("create_connection", "create_server", "getaddrinfo", "gethostbyaddr", "gethostbyname", "socketpair"):
        setattr(socket, name, no_sockets)


def no_sockets(*_: Any, **__: Any) -> Any:
    """Says so before the interpreter asks for a network that is not there."""
    raise PermissionError(
        errno.EACCES, "a policy has no sockets; requests of `requests` and `urllib` go through its grants"
    )
