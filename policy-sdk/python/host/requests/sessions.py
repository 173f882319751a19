"""Requests, one after another."""

import datetime
import gzip
import time
import zlib
from typing import Any
from urllib.parse import urljoin, urlsplit

from _lictor import web

from . import exceptions
from .adapters import HTTPAdapter
from .cookies import RequestsCookieJar
from .models import PreparedRequest, Request, Response, charset
from .structures import CaseInsensitiveDict

DEFAULT_REDIRECT_LIMIT = 30


class Session:
    """What several requests have in common."""

    def __init__(self) -> None:
        defaults = {"User-Agent": "lictor-policy", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
        self.headers = CaseInsensitiveDict(defaults)
        self.auth: Any = None
        self.params: dict[str, Any] = {}
        self.cookies = RequestsCookieJar()
        self.max_redirects = DEFAULT_REDIRECT_LIMIT
        self.verify: Any = True
        self.adapters = {"https://": HTTPAdapter(), "http://": HTTPAdapter()}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        pass

    def mount(self, prefix: str, adapter: HTTPAdapter) -> None:
        self.adapters[prefix] = adapter

    def prepare_request(self, asked: Request) -> PreparedRequest:
        headers = {**self.headers, **CaseInsensitiveDict(asked.headers or {})}
        cookies = {**self.cookies, **dict(asked.cookies or {})}
        params = asked.params if isinstance(asked.params, (str, bytes)) else {**self.params, **dict(asked.params or {})}
        whole = Request(
            asked.method,
            asked.url,
            headers,
            asked.files,
            asked.data,
            params,
            asked.auth or self.auth,
            cookies,
            None,
            asked.json,
        )
        return whole.prepare()

    def request(
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = None,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: Any = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
    ) -> Response:
        if verify is False or self.verify is False:
            raise exceptions.SSLError("certificates are always checked here: `verify=False` cannot be had")
        asked = Request(method, url, headers, files, data, params, auth, cookies, hooks, json)
        return self.send(self.prepare_request(asked), timeout=timeout, allow_redirects=allow_redirects)

    def send(self, request: PreparedRequest, timeout: Any = None, allow_redirects: bool = True, **_: Any) -> Response:
        history: list[Response] = []
        while True:
            response = self.exchange(request, timeout)
            response.history = history[:]
            if not (allow_redirects and response.is_redirect):
                return response
            history.append(response)
            if len(history) > self.max_redirects:
                raise exceptions.TooManyRedirects(f"Exceeded {self.max_redirects} redirects.", response=response)
            request = redirected(request, response)

    def exchange(self, request: PreparedRequest, timeout: Any) -> Response:
        patience = min((t for t in timeout if t is not None), default=None) if isinstance(timeout, tuple) else timeout
        started = time.monotonic()
        try:
            answer = web.send(request.method, request.url, request.headers.items(), request.body, patience)
        except web.TimedOut as error:
            raise exceptions.ReadTimeout(str(error), request=request) from None
        except web.Unanswered as error:
            raise exceptions.ConnectionError(str(error), request=request) from None
        except UnicodeEncodeError as error:
            raise exceptions.InvalidHeader(f"a header is not latin-1: {error}", request=request) from None
        response = Response()
        response.request, response.url, response.status_code = request, request.url, answer.status
        response.elapsed = datetime.timedelta(seconds=time.monotonic() - started)
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                response.cookies.take(value)
            before = response.headers.get(name)
            response.headers[name] = value if before is None else f"{before}, {value}"
        self.cookies.update(response.cookies)
        response.encoding = charset(response.headers)
        response.content = unpacked(answer.body, response)
        return response

    def get(self, url: str, **kwargs: Any) -> Response:
        return self.request("GET", url, **kwargs)

    def options(self, url: str, **kwargs: Any) -> Response:
        return self.request("OPTIONS", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> Response:
        kwargs.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **kwargs)

    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> Response:
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: str, data: Any = None, **kwargs: Any) -> Response:
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: str, data: Any = None, **kwargs: Any) -> Response:
        return self.request("PATCH", url, data=data, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> Response:
        return self.request("DELETE", url, **kwargs)


def redirected(request: PreparedRequest, response: Response) -> PreparedRequest:
    """What a redirect asks for."""
    res = PreparedRequest()
    res.url = urljoin(request.url, response.headers["location"])
    res.method, res.headers, res.body = request.method, request.headers.copy(), request.body
    to_get = response.status_code == 303 or response.status_code in (301, 302) and request.method == "POST"
    if to_get and request.method != "HEAD":
        res.method, res.body = "GET", None
        for name in ("content-length", "content-type"):
            res.headers.pop(name, None)
    # Credentials are for the server that they were meant for.
    if urlsplit(res.url)[:2] != urlsplit(request.url)[:2]:
        for name in ("authorization", "cookie"):
            res.headers.pop(name, None)
    return res


def unpacked(body: bytes, response: Response) -> bytes:
    packing = response.headers.get("content-encoding", "").strip().lower()
    try:
        if packing in ("gzip", "x-gzip"):
            return gzip.decompress(body)
        if packing == "deflate":
            return zlib.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise exceptions.ContentDecodingError(f"the answer cannot be unpacked: {error}", response=response) from None
    return body


session = Session
