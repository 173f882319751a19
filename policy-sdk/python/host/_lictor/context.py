"""The context: a dict over the key-value store that outlives the call."""

import json
from collections.abc import Iterator
from typing import Any

from componentize_py_types import Err
from wit_world.imports import store

# Stands for a default that was not given.
NONE = object()


class Context(dict[str, Any]):
    """Behaves as a dict whose keys are strings and whose values are JSON.

    A value is read when it is first asked for. What a policy does to a list or an object that it got from here is
    written back when its call ends.
    """

    def __init__(self) -> None:
        self.bucket: store.Bucket | None = None
        # What was read, with the text that the store has: a list or a dict may have been changed in place since.
        self.known: dict[str, tuple[Any, bytes]] = {}

    def open(self) -> store.Bucket:
        # Opened when it is first needed: a copy of a frozen instance has none yet.
        if self.bucket is None:
            with refused("opened"):
                self.bucket = store.open("")
        return self.bucket

    def begin(self) -> None:
        """Forgets what was read in an earlier call: another instance may have written since."""
        self.known.clear()

    def write_back(self) -> None:
        for key, (value, text) in list(self.known.items()):
            if isinstance(value, (dict, list)) and (now := dump(key, value)) != text:
                self.put(key, value, now)

    def put(self, key: str, value: Any, text: bytes) -> None:
        with refused("written"):
            self.open().set(key, text)
        self.known[key] = (value, text)

    def find(self, key: Any) -> Any:
        if not isinstance(key, str):
            return NONE
        if key in self.known:
            return self.known[key][0]
        with refused("read"):
            text = self.open().get(key)
        if text is None:
            return NONE
        try:
            value = json.loads(text)
        except ValueError:
            # Another language may have put bytes there.
            value = text
        self.known[key] = (value, text)
        return value

    def all_keys(self) -> list[str]:
        found: list[str] = []
        cursor = None
        with refused("listed"):
            while True:
                page = self.open().list_keys(cursor)
                found += page.keys
                cursor = page.cursor
                if cursor is None:
                    return found

    def __getitem__(self, key: str) -> Any:
        value = self.find(key)
        if value is NONE:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a key of the context must be a string, not {type(key).__name__}")
        self.put(key, value, dump(key, value))

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.known.pop(key, None)
        with refused("written"):
            self.open().delete(key)

    def __contains__(self, key: object) -> bool:
        return self.find(key) is not NONE

    def __iter__(self) -> Iterator[str]:
        return iter(self.all_keys())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.all_keys())

    def __len__(self) -> int:
        return len(self.all_keys())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.copy())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> "Context":  # type: ignore[override, misc]
        self.update(other)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        value = self.find(key)
        return default if value is NONE else value

    def keys(self) -> Any:
        return self.copy().keys()

    def values(self) -> Any:
        return self.copy().values()

    def items(self) -> Any:
        return self.copy().items()

    def copy(self) -> dict[str, Any]:
        return {key: self[key] for key in self.all_keys()}

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, default: Any = NONE) -> Any:
        value = self.find(key)
        if value is not NONE:
            del self[key]
            return value
        if default is NONE:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[str, Any]:
        keys = self.all_keys()
        if not keys:
            raise KeyError("popitem(): dictionary is empty")
        return keys[-1], self.pop(keys[-1])

    def update(self, *others: Any, **more: Any) -> None:
        for key, value in dict(*others, **more).items():
            self[key] = value

    def clear(self) -> None:
        for key in self.all_keys():
            del self[key]


def dump(key: str, value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(f"the context keeps JSON, and the value for {key!r} is not: {error}") from None


class refused:
    """Turns a refusal of the store into an exception that says what is missing."""

    def __init__(self, done: str) -> None:
        self.done = done

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if not isinstance(error, Err):
            return
        if isinstance(error.value, store.Error_AccessDenied):
            why = "the policy was not granted its context (`capabilities.context`)"
            raise PermissionError(f"the context cannot be {self.done}: {why}") from None
        why = getattr(error.value, "value", "there is no such store")
        raise OSError(f"the context cannot be {self.done}: {why}") from None
