"""Credentials."""

import base64
from typing import Any


class AuthBase:
    """Adds credentials to a request that is about to be sent."""

    def __call__(self, request: Any) -> Any:
        raise NotImplementedError("Auth hooks must be callable.")


class HTTPBasicAuth(AuthBase):
    """A user's name and password."""

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password

    def __call__(self, request: Any) -> Any:
        both = f"{self.username}:{self.password}".encode()
        request.headers["Authorization"] = "Basic " + base64.b64encode(both).decode()
        return request
