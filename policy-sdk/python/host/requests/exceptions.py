"""The exceptions, in the hierarchy that `except` clauses rely on."""

import json
from typing import Any


class RequestException(IOError):
    """Something went wrong with a request."""

    def __init__(self, *args: Any, request: Any = None, response: Any = None) -> None:
        super().__init__(*args)
        self.response = response
        self.request = request if request is not None else getattr(response, "request", None)


class InvalidJSONError(RequestException):
    """Not JSON."""


class JSONDecodeError(InvalidJSONError, json.JSONDecodeError):
    """The answer is not JSON."""

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        json.JSONDecodeError.__init__(self, msg, doc, pos)
        text = self.args[0]
        InvalidJSONError.__init__(self, text)


class HTTPError(RequestException):
    """The answer's status is an error."""


class ConnectionError(RequestException):
    """There was no answer."""


class ProxyError(ConnectionError):
    """A proxy failed."""


class SSLError(ConnectionError):
    """The certificate was not accepted."""


class Timeout(RequestException):
    """The answer did not come in time."""


class ConnectTimeout(ConnectionError, Timeout):
    """The server could not be reached in time."""


class ReadTimeout(Timeout):
    """The server did not answer in time."""


class URLRequired(RequestException):
    """There is no URL."""


class TooManyRedirects(RequestException):
    """One redirect after another."""


class MissingSchema(RequestException, ValueError):
    """The URL has no scheme."""


class InvalidSchema(RequestException, ValueError):
    """The scheme is neither http nor https."""


class InvalidURL(RequestException, ValueError):
    """Not a URL."""


class InvalidHeader(RequestException, ValueError):
    """Not a header."""


class ChunkedEncodingError(RequestException):
    """The body ended too early."""


class ContentDecodingError(RequestException):
    """The body cannot be decoded."""


class StreamConsumedError(RequestException, TypeError):
    """The body was read before."""


class RetryError(RequestException):
    """Trying again did not help."""
