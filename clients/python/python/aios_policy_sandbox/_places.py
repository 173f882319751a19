"""Where a policy runs: in the sandbox or on an executor, by way of native code, or in this interpreter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from . import _log
from ._json import text
from .errors import (
    PolicyError,
    PolicyFailed,
    PolicyNotFound,
    PolicyNotLoaded,
    PolicyStopped,
    PolicySystemUnreachable,
)

if TYPE_CHECKING:
    from . import _native
    from ._host import HostFunctions

_KINDS: dict[str, type[PolicyError]] = {
    "failed": PolicyFailed,
    "not_found": PolicyNotFound,
    "not_loaded": PolicyNotLoaded,
    "stopped": PolicyStopped,
    "unreachable": PolicySystemUnreachable,
}
#: What an executor says if it could not load a policy.
_NOT_LOADED = {
    "bad_archive",
    "code_unreachable",
    "digest_mismatch",
    "missing_export",
    "not_a_component",
    "too_complex",
    "unknown_import",
}


class Place(Protocol):
    """Something that runs one policy."""

    def eval(self, input_data: Any) -> Any: ...
    def manage(self, action: str, mgmt_data: Any) -> Any: ...


class OwnClass:
    """An instance of the application's own class, in this interpreter: no sandbox, and nothing is converted."""

    def __init__(self, custom_class: type[Any], settings: Any, parameters: Any) -> None:
        self._instance = custom_class("", settings or {}, parameters or {})
        self._context: dict[str, Any] = {}

    def eval(self, input_data: Any) -> Any:
        # The original gives no parameters here either: the class has those that it was made with.
        return self._instance.eval({}, input_data, self._context)

    def manage(self, action: str, mgmt_data: Any) -> Any:
        return self._instance.management(action, mgmt_data)


class Native:
    """The sandbox in this process, or an executor elsewhere: whichever the options say."""

    def __init__(self, options: dict[str, Any], functions: HostFunctions, component: bytes | None) -> None:
        # Only now: an application that brings a class of its own needs nothing of it.
        from . import _native

        self._failed = _native.Failed
        self._functions = functions
        names, call = functions.names(), functions.weakly()
        try:
            self._evaluator = _native.Evaluator(text("the arguments", options), names, call, _log.line, component)
        except _native.Failed as failed:
            raise _error(failed) from None

    def eval(self, input_data: Any) -> Any:
        document = text("`input_data`", input_data)
        try:
            return json.loads(self._evaluator.execute(document))
        except self._failed as failed:
            raise _error(failed) from None

    def manage(self, action: str, mgmt_data: Any) -> Any:
        document = text("`mgmt_data`", mgmt_data)
        try:
            return json.loads(self._evaluator.manage(action, document))
        except self._failed as failed:
            raise _error(failed) from None


def _error(failed: _native.Failed) -> PolicyError:
    kind, code, message, details = failed.args
    error = PolicyNotLoaded if kind == "refused" and code in _NOT_LOADED else _KINDS.get(kind, PolicyError)
    return error(message, code, None if details is None else json.loads(details))
