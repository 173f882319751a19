"""The evaluator: the original's ``LocalPolicyEvaluator``, with what our sandbox offers beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from . import _folders
from ._host import HostFunctions, marked
from ._places import Native, OwnClass, Place

_MODE = "POLICY_EXECUTION_MODE"
_logger = logging.getLogger("aios_policy_sandbox")


class _Default:
    """An argument that was not given, where ``None`` means something."""

    def __repr__(self) -> str:
        return "<default>"


_DEFAULT: Final = _Default()


class LocalPolicyEvaluator:
    """Evaluates one policy, in this process or on an executor.

    Locally, the policy is read from the policies system and constructed once, in a sandbox. What it remembers of one
    call is there in the next, and management commands reach the same instance. It runs under the limits of its record,
    and reaches what its record asks for *and* ``grant`` allows.

    May be used by many threads at the same time; one instance answers one call at a time. The interpreter's lock is
    free while a policy runs. An evaluator does not survive a fork: make one in each process.

    Args:
        policy_rule_uri: Which policy: ``name:version-release_tag``. Needed unless the application brings its own code.
        parameters: Override those of the record, member by member. On an executor they replace them all.
        settings: Override those of the record, member by member; an executor takes none. Functions and objects in
            them are handed to the policy as something to call, under their dotted path; its record must ask for them
            in ``capabilities.host``.
        custom_class: A class of the application's own, run in this interpreter and not in the sandbox.
        mode: ``"local"`` for this process; anything else is an executor. The variable ``POLICY_EXECUTION_MODE`` wins.
        executor_id: The executor; else the variable ``POLICY_SYSTEM_EXECUTOR_ID``, else ``executor-0``.
        policy_db_url: The system that has the records; else ``POLICY_DB_URL``, else ``http://localhost:10000``.
        executor_host_url: The system that has the executors; else ``POLICY_EXECUTOR_HOST_URL``, else the same.
        token: Shown to either, where they need one; else the variable ``LICTOR_TOKEN``.
        grant: What the policy may have of what it asks for, such as ``{"http": ["https://example.com"]}``. By default
            its context and nothing else.
        limits: What a call may use, instead of what the record asks for, such as ``{"timeout_ms": 5000}``.
        allow_private: Hosts, addresses and networks that code may come from and that the policy may reach, although
            they are not public.
        allow_file: Folders that ``file://`` code may be read from.
        cache_dir: A folder for code that was fetched and compiled, which takes seconds; ``None`` for none. By default
            ``lictor/python`` in the user's cache. Whoever can write there can have anything run.
        python_host: The Python host component, which runs Python classes. By default the one inside this package.
        custom_component: A component, or an archive with one, of the application's own: its bytes or its path.
        host_functions: Functions for the policy by name, for policies that call them by name.

    Raises:
        PolicyNotFound: The system has no such policy. It is a ``ValueError`` too.
        PolicyNotLoaded: Its code cannot be had, or is no policy.
        PolicySystemUnreachable: The system gave no answer to go by.
        PolicyFailed: The policy refused to be constructed.
        PolicyStopped: It was stopped while it was constructed.
        ValueError: An argument makes no sense. ``TypeError`` if it is of the wrong type.
    """

    def __init__(
        self,
        policy_rule_uri: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        custom_class: type[Any] | None = None,
        mode: str = "local",
        executor_id: str = "",
        *,
        policy_db_url: str | None = None,
        executor_host_url: str | None = None,
        token: str | None = None,
        grant: Mapping[str, Any] | None = None,
        limits: Mapping[str, int] | None = None,
        allow_private: Iterable[str] = (),
        allow_file: Iterable[str | os.PathLike[str]] = (),
        cache_dir: str | os.PathLike[str] | _Default | None = _DEFAULT,
        python_host: str | os.PathLike[str] | None = None,
        custom_component: bytes | str | os.PathLike[str] | None = None,
        host_functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        _check(Mapping, "a dict", parameters=parameters, settings=settings, grant=grant, limits=limits)
        _check(str, "a text", policy_rule_uri=policy_rule_uri, mode=mode, executor_id=executor_id, token=token)
        _check(str, "a text", policy_db_url=policy_db_url, executor_host_url=executor_host_url)
        # The same as native code makes of it, which is not asked where the class is the application's own.
        self._mode = os.environ.get(_MODE) or mode
        if custom_class is not None and custom_component is not None:
            raise ValueError("`custom_class` and `custom_component` are two policies: give one")
        self._place: Place
        if custom_class is not None and self._mode == "local":
            if not callable(custom_class):
                raise TypeError("`custom_class` must be a class")
            self._place = OwnClass(custom_class, settings, parameters)
            return

        functions = HostFunctions(host_functions)
        options: dict[str, Any] = {
            "policy_rule_uri": policy_rule_uri,
            "parameters": _plain(parameters),
            "mode": mode,
            "executor_id": executor_id,
            "policy_db_url": policy_db_url,
            "executor_host_url": executor_host_url,
            "token": token,
        }
        component = None
        if self._mode == "local":
            component = custom_component if isinstance(custom_component, bytes) else None
            options |= {
                "settings": marked(settings, functions) if settings else None,
                "grant": _plain(grant),
                "limits": _plain(limits),
                "allow_private": _list("allow_private", allow_private),
                "allow_file": [os.fspath(folder) for folder in _list("allow_file", allow_file)],
                "cache_dir": _path(_folders.cache_dir() if isinstance(cache_dir, _Default) else cache_dir),
                "python_host": _path(python_host or _folders.python_host()),
                "component_file": None if isinstance(custom_component, bytes) else _path(custom_component),
            }
        elif custom_component is not None:
            raise ValueError("`custom_component` needs the mode `local`: an executor runs policies of its system")
        elif settings or functions.names():
            _logger.warning("an executor uses the stored settings, and has no functions of this application")
        self._place = Native(options, functions, component)

    @property
    def mode(self) -> str:
        """``"local"`` if the policy runs in this process, else ``"remote"``."""
        return "local" if self._mode == "local" else "remote"

    def execute_policy_rule(self, input_data: Any) -> Any:
        """Has the policy decide about ``input_data``, which is JSON, and returns its decision.

        Raises:
            PolicyFailed: The policy's own account of why it did not answer.
            PolicyStopped: The policy was stopped by a limit, its own fault or its schemas.
            PolicyError: Anything else that went wrong, most of which only an executor can say.
            ValueError: The input is not JSON; ``TypeError`` if something in it has no JSON at all.
        """
        return self._place.eval(input_data)

    def execute_mgmt_command(self, action: str, mgmt_data: Any) -> Any:
        """Has the policy carry out a management command, and returns its result. Raises what a decision raises.

        Only locally: an executor has a fresh instance for each call, so there is nothing to manage.
        """
        return self._place.manage(action, mgmt_data)

    def __repr__(self) -> str:
        return f"<LocalPolicyEvaluator mode={self.mode!r}>"


def _check(kind: type[Any], kind_name: str, **arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"`{name}` must be {kind_name}, and is a {type(value).__qualname__}")


def _plain(members: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if members is None else dict(members)


def _list(name: str, entries: Iterable[Any]) -> list[Any]:
    # A text is iterable as well, and never what was meant.
    if isinstance(entries, (str, bytes, Path)):
        raise TypeError(f"`{name}` must be a list")
    return list(entries)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
