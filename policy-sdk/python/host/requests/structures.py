"""Containers."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any


class CaseInsensitiveDict(MutableMapping[str, Any]):
    """A dict of headers: any case finds them, and they keep the one they were written in."""

    def __init__(self, data: Any = None, **more: Any) -> None:
        self._store: dict[str, tuple[str, Any]] = {}
        self.update({} if data is None else data, **more)

    def __setitem__(self, key: str, value: Any) -> None:
        self._store[key.lower()] = (key, value)

    def __getitem__(self, key: str) -> Any:
        return self._store[key.lower()][1]

    def __delitem__(self, key: str) -> None:
        del self._store[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._store.values())

    def __len__(self) -> int:
        return len(self._store)

    def lower_items(self) -> Iterable[tuple[str, Any]]:
        return ((lower, value) for lower, (_, value) in self._store.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.lower_items()) == dict(CaseInsensitiveDict(other).lower_items())

    def copy(self) -> "CaseInsensitiveDict":
        return CaseInsensitiveDict(self._store.values())

    def __repr__(self) -> str:
        return repr(dict(self.items()))


class LookupDict(dict[str, Any]):
    """Numbers by name, as attributes and as items."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)
