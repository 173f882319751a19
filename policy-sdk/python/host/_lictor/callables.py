"""Functions of the host application in `settings`: what an application hands over as a callable arrives as one."""

import json
from types import SimpleNamespace
from typing import Any

from componentize_py_types import Err
from wit_world.imports import host

FUNCTION = "$host_function"
OBJECT = "$host_object"


class HostFunctionError(Exception):
    """A function of the application failed, or may not be called."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def function(name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return json.loads(host.call(name, json.dumps({"args": args, "kwargs": kwargs})))
        except Err as error:
            if error.value.code == "denied_capability":
                message = f"the policy was not granted `{name}` (`capabilities.host`)"
                raise PermissionError(message) from None
            raise HostFunctionError(error.value.code, error.value.message) from None

    call.__name__ = call.__qualname__ = name
    return call


def restored(settings: Any) -> Any:
    """Settings with callables where they have markers for them."""
    if isinstance(settings, list):
        return [restored(value) for value in settings]
    if not isinstance(settings, dict):
        return settings
    if settings.keys() == {FUNCTION}:
        return function(settings[FUNCTION])
    if settings.keys() == {OBJECT}:
        name, methods = settings[OBJECT]["name"], settings[OBJECT]["methods"]
        return SimpleNamespace(**{method: function(f"{name}.{method}") for method in methods})
    return {key: restored(value) for key, value in settings.items()}
