"""Adapters: taken, so that policies that mount some run; the host makes the connections."""

from typing import Any


class BaseAdapter:
    """Something to mount."""


class HTTPAdapter(BaseAdapter):
    """Its settings have no effect here."""

    def __init__(
        self, pool_connections: int = 10, pool_maxsize: int = 10, max_retries: Any = 0, pool_block: bool = False
    ) -> None:
        self.max_retries = max_retries
