"""Functions of the application that a policy may call: where they are found, and how they are called."""

from __future__ import annotations

import inspect
import json
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._json import text

_SPREAD = {"args", "kwargs"}


class HostFunctions:
    """The functions of one evaluator, by name."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._by_name: dict[str, Callable[..., Any]] = {}
        for name, function in (functions or {}).items():
            if not callable(function):
                raise TypeError(f"`host_functions` has no function under {name!r}")
            self.add(name, function)

    def names(self) -> list[str]:
        return list(self._by_name)

    def add(self, name: str, function: Callable[..., Any]) -> None:
        if name in self._by_name:
            raise ValueError(f"two host functions would have the name {name!r}")
        self._by_name[name] = function

    def call(self, name: str, arguments: str) -> str:
        """Calls a function, with JSON text in and out."""
        function, given = self._by_name[name], json.loads(arguments)
        if isinstance(given, dict) and given.keys() == _SPREAD and _spreads(given):
            answer = function(*given["args"], **given["kwargs"])
        elif given is None:
            answer = function()
        else:
            answer = function(given)
        return text(f"what the host function {name!r} returned", answer)

    def weakly(self) -> Callable[[str, str], str]:
        """``call``, without keeping the functions alive.

        A method of the object that has the evaluator is the usual function. Through native code, the garbage collector
        would not see that circle, and neither of them would ever go.
        """
        functions = weakref.ref(self)

        def call(name: str, arguments: str) -> str:
            alive = functions()
            if alive is None:
                raise RuntimeError("the evaluator is gone")
            return alive.call(name, arguments)

        return call


def _spreads(given: dict[str, Any]) -> bool:
    return isinstance(given["args"], list) and isinstance(given["kwargs"], dict)


def marked(settings: Mapping[str, Any], functions: HostFunctions) -> dict[str, Any]:
    """The settings as JSON: functions and objects are added to ``functions``, and a marker is in the place of each."""
    return {key: _plain(value, str(key), functions, (id(settings),)) for key, value in settings.items()}


def _plain(value: Any, path: str, functions: HostFunctions, within: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if id(value) in within:
        raise ValueError(f"`settings.{path}` contains itself")
    deeper = (*within, id(value))
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{path}.{key}", functions, deeper) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}.{idx}", functions, deeper) for idx, item in enumerate(value)]
    if callable(value):
        functions.add(path, value)
        return {"$host_function": path}
    methods = sorted(_methods(value))
    # What Python brings, such as bytes and sets, has methods too, but is a value that somebody forgot to convert.
    if not methods or type(value).__module__ == "builtins":
        raise TypeError(f"`settings.{path}` is neither JSON nor something to call: it is a {type(value).__qualname__}")
    for method in methods:
        functions.add(f"{path}.{method}", getattr(value, method))
    return {"$host_object": {"name": path, "methods": methods}}


def _methods(value: object) -> Iterable[str]:
    """The public names of what can be called. Properties are not looked into, because that may do something."""
    for name in dir(value):
        if name.startswith("_") or isinstance(inspect.getattr_static(value, name, None), property):
            continue
        if callable(getattr(value, name, None)):
            yield name
