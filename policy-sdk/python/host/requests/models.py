"""Requests and answers."""

import codecs
import datetime
import json as json_module
import uuid
from collections.abc import Iterator
from email.message import Message
from http.client import responses
from typing import Any
from urllib.parse import urlencode, urlsplit

from . import exceptions
from .auth import HTTPBasicAuth
from .cookies import RequestsCookieJar
from .structures import CaseInsensitiveDict
from .utils import pairs, requote_uri, with_params


class Request:
    """What is asked for, as its author wrote it."""

    def __init__(
        self,
        method: str | None = None,
        url: str | None = None,
        headers: Any = None,
        files: Any = None,
        data: Any = None,
        params: Any = None,
        auth: Any = None,
        cookies: Any = None,
        hooks: Any = None,
        json: Any = None,
    ) -> None:
        self.method, self.url, self.headers, self.files = method, url, headers or {}, files
        self.data, self.params, self.auth, self.cookies, self.json = data, params, auth, cookies, json
        self.hooks = hooks

    def prepare(self) -> "PreparedRequest":
        res = PreparedRequest()
        res.prepare(self)
        return res


class PreparedRequest:
    """What is sent."""

    def __init__(self) -> None:
        self.method = "GET"
        self.url = ""
        self.headers = CaseInsensitiveDict()
        self.body: bytes | None = None

    def prepare(self, asked: Request) -> None:
        self.method = (asked.method or "GET").upper()
        self.url = checked(asked.url, asked.params)
        self.headers = CaseInsensitiveDict({k: v for k, v in asked.headers.items() if v is not None})
        self.prepare_body(asked)
        if asked.cookies:
            self.headers.setdefault("Cookie", "; ".join(f"{k}={v}" for k, v in dict(asked.cookies).items()))
        if isinstance(asked.auth, tuple):
            HTTPBasicAuth(*asked.auth)(self)
        elif asked.auth is not None:
            asked.auth(self)

    def prepare_body(self, asked: Request) -> None:
        if asked.files:
            self.body, kind = multipart(asked.files, asked.data)
        elif asked.json is not None and not asked.data:
            try:
                self.body, kind = json_module.dumps(asked.json, allow_nan=False).encode(), "application/json"
            except ValueError as error:
                raise exceptions.InvalidJSONError(error, request=self) from None
        elif isinstance(asked.data, (str, bytes)):
            self.body = asked.data.encode() if isinstance(asked.data, str) else asked.data
            kind = None
        elif hasattr(asked.data, "read"):
            read = asked.data.read()
            self.body, kind = read.encode() if isinstance(read, str) else read, None
        elif asked.data:
            self.body, kind = urlencode(pairs(asked.data)).encode(), "application/x-www-form-urlencoded"
        else:
            self.body, kind = (b"" if self.method in ("POST", "PUT", "PATCH") else None), None
        if kind:
            self.headers.setdefault("Content-Type", kind)


def checked(url: Any, params: Any) -> str:
    """The whole URL, if it is one."""
    text = url.decode() if isinstance(url, bytes) else str(url or "").strip()
    if ":" not in text:
        raise exceptions.MissingSchema(f"Invalid URL {text!r}: No scheme supplied. Perhaps you meant https://{text}?")
    try:
        parts = urlsplit(text)
        # Looked at, because only then it is read.
        _ = parts.port
    except ValueError as error:
        raise exceptions.InvalidURL(f"Invalid URL {text!r}: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise exceptions.InvalidSchema(f"No connection adapters were found for {text!r}")
    if not parts.hostname:
        raise exceptions.InvalidURL(f"Invalid URL {text!r}: No host supplied")
    return requote_uri(with_params(parts._replace(fragment="").geturl(), params))


def multipart(files: Any, data: Any) -> tuple[bytes, str]:
    """A form with files."""
    boundary, parts = uuid.uuid4().hex, []
    for name, value in pairs(data or {}):
        parts.append((f'form-data; name="{name}"', None, str(value).encode()))
    for name, file in files.items() if hasattr(files, "items") else files:
        filename, content, kind = name, file, None
        if isinstance(file, tuple):
            filename, content, kind = (*file, None)[:3]
        if hasattr(content, "read"):
            content = content.read()
        raw = content.encode() if isinstance(content, str) else content
        parts.append((f'form-data; name="{name}"; filename="{filename}"', kind, raw))
    body = b""
    for disposition, kind, raw in parts:
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{typed}\r\n".encode() + raw + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Response:
    """An answer, read to its end."""

    def __init__(self) -> None:
        self.status_code: int = 0
        self.headers = CaseInsensitiveDict()
        self.url = ""
        self.content = b""
        self.history: list[Response] = []
        self.request: Any = None
        self.elapsed = datetime.timedelta(0)
        self.cookies = RequestsCookieJar()
        self.encoding: str | None = None

    @property
    def reason(self) -> str:
        return responses.get(self.status_code, "")

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def is_redirect(self) -> bool:
        return "location" in self.headers and self.status_code in (301, 302, 303, 307, 308)

    @property
    def is_permanent_redirect(self) -> bool:
        return "location" in self.headers and self.status_code in (301, 308)

    @property
    def apparent_encoding(self) -> str:
        return "utf-8"

    @property
    def text(self) -> str:
        try:
            codecs.lookup(encoding := self.encoding or self.apparent_encoding)
        except LookupError:
            encoding = "utf-8"
        return self.content.decode(encoding, "replace")

    def json(self, **kwargs: Any) -> Any:
        text = self.content if self.encoding is None else self.text
        try:
            return json_module.loads(text, **kwargs)
        except UnicodeDecodeError:
            return json_module.loads(self.text, **kwargs)
        except json_module.JSONDecodeError as error:
            raise exceptions.JSONDecodeError(error.msg, error.doc, error.pos) from None

    def raise_for_status(self) -> None:
        whose = {4: "Client", 5: "Server"}.get(self.status_code // 100)
        if whose:
            why = f"{self.status_code} {whose} Error: {self.reason} for url: {self.url}"
            raise exceptions.HTTPError(why, response=self)

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        data: Any = self.text if decode_unicode else self.content
        step = chunk_size or max(1, len(data))
        return (data[at : at + step] for at in range(0, len(data), step))

    def iter_lines(self, chunk_size: int = 512, decode_unicode: bool = False, delimiter: Any = None) -> Iterator[Any]:
        data: Any = self.text if decode_unicode else self.content
        return iter(data.split(delimiter) if delimiter else data.splitlines())

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(128)

    @property
    def links(self) -> dict[str, dict[str, str]]:
        res = {}
        for part in self.headers.get("link", "").split(","):
            url, _, rest = part.partition(";")
            names = dict(pair.strip().split("=", 1) for pair in rest.split(";") if "=" in pair)
            link = {"url": url.strip(" <>"), **{name: value.strip('"') for name, value in names.items()}}
            if link["url"]:
                res[link.get("rel", link["url"])] = link
        return res


def charset(headers: CaseInsensitiveDict) -> str | None:
    """The encoding that an answer says it has."""
    kind = headers.get("content-type")
    if not kind:
        return None
    message = Message()
    message["content-type"] = kind
    said = message.get_param("charset")
    if isinstance(said, str):
        return said
    if message.get_content_type() == "application/json":
        return "utf-8"
    return "ISO-8859-1" if message.get_content_maintype() == "text" else None
