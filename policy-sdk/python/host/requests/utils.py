"""Helpers that policies import."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlparse, urlsplit

__all__ = [
    "dict_from_cookiejar",
    "guess_json_utf",
    "pairs",
    "quote",
    "requote_uri",
    "unquote",
    "urlparse",
    "with_params",
]


def pairs(data: Any) -> list[tuple[str, Any]]:
    """The names and values of a form or a query, each value of a list for itself; none is left out."""
    items: Iterable[tuple[Any, Any]] = data.items() if hasattr(data, "items") else data
    res = []
    for name, value in items:
        for one in value if isinstance(value, (list, tuple, set)) else [value]:
            if one is not None:
                res.append((name, one))
    return res


def with_params(url: str, params: Any) -> str:
    if not params:
        return url
    query = params if isinstance(params, str) else urlencode(pairs(params))
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, [parts.query, query]))).geturl()


def requote_uri(uri: str) -> str:
    return quote(uri, safe="!#$%&'()*+,/:;=?@[]~")


def dict_from_cookiejar(jar: Any) -> dict[str, str]:
    return dict(jar)


def guess_json_utf(data: bytes) -> str:
    return json.detect_encoding(data)
