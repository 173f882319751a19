"""What the package promises without running any policy."""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

import aios_policy_sandbox
from aios_policy_sandbox import (
    LocalPolicyEvaluator,
    PolicyError,
    PolicyFailed,
    PolicyNotFound,
    PolicyNotLoaded,
    PolicyStopped,
    PolicySystemUnreachable,
    _folders,
    _log,
)
from aios_policy_sandbox._json import text


def test_the_constructor_has_the_originals_order() -> None:
    parameters = list(inspect.signature(LocalPolicyEvaluator).parameters.values())
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["policy_rule_uri", "parameters", "settings", "custom_class", "mode", "executor_id"]
    assert [p.default for p in parameters[:6]] == [None, None, None, None, "local", ""]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[6:])


def test_everything_is_exported_and_documented() -> None:
    for name in aios_policy_sandbox.__all__:
        assert inspect.getdoc(getattr(aios_policy_sandbox, name)), name


@pytest.mark.parametrize(
    "error", [PolicyFailed, PolicyStopped, PolicyNotLoaded, PolicyNotFound, PolicySystemUnreachable]
)
def test_each_error_is_a_policy_error_and_survives_pickling(error: type[PolicyError]) -> None:
    raised = error("no", "code", {"a": [1]})
    again = pickle.loads(pickle.dumps(raised))
    assert isinstance(raised, PolicyError) and type(again) is error
    assert (again.message, again.code, again.details, str(again)) == ("no", "code", {"a": [1]}, "no")


def test_a_missing_policy_is_a_value_error_as_in_the_original() -> None:
    assert issubclass(PolicyNotFound, ValueError)
    assert not issubclass(PolicyNotLoaded, ValueError)


@pytest.mark.parametrize(
    ("details", "lost"), [({"state_lost": True}, True), ({"state_lost": False}, False), (None, False)]
)
def test_a_stop_says_whether_the_state_is_lost(details: Any, lost: bool) -> None:
    assert PolicyStopped("no", "trap", details).state_lost is lost


@pytest.mark.parametrize("argument", ["parameters", "settings", "grant", "limits"])
@pytest.mark.parametrize("value", [[], "{}", 5])
def test_objects_must_be_dicts(argument: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"`{argument}` must be a dict"):
        LocalPolicyEvaluator("p:1-x", **{argument: value})


@pytest.mark.parametrize(
    "argument", ["policy_rule_uri", "mode", "executor_id", "token", "policy_db_url", "executor_host_url"]
)
def test_texts_must_be_texts(argument: str) -> None:
    with pytest.raises(TypeError, match=f"`{argument}` must be a text"):
        LocalPolicyEvaluator(**{argument: 5})  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["allow_private", "allow_file"])
def test_a_text_is_no_list(argument: str) -> None:
    with pytest.raises(TypeError, match=f"`{argument}` must be a list"):
        LocalPolicyEvaluator("p:1-x", **{argument: "127.0.0.1"})  # type: ignore[arg-type]


def test_documents_are_json_or_refused_by_name() -> None:
    assert text("it", {"a": [1, 2.5, None, "é"]}) == '{"a":[1,2.5,null,"\\u00e9"]}'
    for value in (float("nan"), float("inf"), [float("-inf")]):
        with pytest.raises(ValueError, match="^it cannot be written as JSON"):
            text("it", value)
    with pytest.raises(TypeError, match="^it cannot be written as JSON"):
        text("it", {"a": object()})
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="^it cannot be written as JSON"):
        text("it", circle)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        text("it", deep)


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = _folders.cache_dir()
    assert folder == tmp_path / "xdg" / "lictor" / "python"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert _folders.cache_dir() == tmp_path / ".cache" / "lictor" / "python"


def test_a_user_without_a_cache_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert _folders.cache_dir() is None


def test_the_python_host_is_the_packed_one_if_there_is_one() -> None:
    packed = Path(aios_policy_sandbox.__file__).parent / "python_host.wasm"
    assert _folders.python_host() == (packed if packed.is_file() else None)


def test_what_a_policy_says_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1, "aios_policy_sandbox.policy"):
        for level in ("trace", "debug", "info", "warn", "error", "critical"):
            _log.line("p:1-x", level, "stdout", "100 %s")
    assert [record.levelno for record in caplog.records] == [
        5,
        logging.DEBUG,
        logging.INFO,
        logging.WARNING,
        logging.ERROR,
        logging.CRITICAL,
    ]
    assert {record.getMessage() for record in caplog.records} == {"p:1-x: 100 %s"}


def test_the_package_is_typed() -> None:
    folder = Path(os.path.dirname(aios_policy_sandbox.__file__))
    assert (folder / "py.typed").is_file() and (folder / "_native.pyi").is_file()
