"""What goes over the wire: records that are read, and executors that are asked."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from aios_policy_sandbox import (
    LocalPolicyEvaluator,
    PolicyError,
    PolicyFailed,
    PolicyNotFound,
    PolicyNotLoaded,
    PolicyStopped,
    PolicySystemUnreachable,
)
from system import System, record

pytestmark = pytest.mark.native

URI = "ip_allowlist:1.0-beta"


def remote(system: System, **arguments: Any) -> LocalPolicyEvaluator:
    return LocalPolicyEvaluator(policy_rule_uri=URI, mode="remote", executor_host_url=system.url, **arguments)


def nowhere() -> str:
    """The URL of a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_documents_remote_example(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_EXECUTOR_HOST_URL", system.url)
    decision = {"allowed": False, "input_data": {"ip": "192.168.0.109"}, "reason": "denied"}
    system.executes({"success": True, "data": decision}, executor="executor-123")
    executor = LocalPolicyEvaluator(
        policy_rule_uri=URI, parameters={}, settings={}, mode="remote", executor_id="executor-123"
    )
    assert executor.mode == "remote"
    assert executor.execute_policy_rule({"ip": "192.168.0.109"}) == decision
    (request,) = system.requests
    assert request.path == "/executor/executor-123/execute_policy"
    # Empty parameters override nothing; sent, they would replace the stored ones.
    assert request.body == {"policy_rule_uri": URI, "input_data": {"ip": "192.168.0.109"}, "parameters": None}
    assert request.authorization is None


def test_parameters_and_the_token_are_sent_and_settings_are_not(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    system.executes({"success": True, "data": [1, "é", None]})
    with caplog.at_level(logging.WARNING, "aios_policy_sandbox"):
        evaluator = remote(system, parameters={"a": 1}, settings={"client": object()}, token="s3cret")
    assert "stored settings" in caplog.text
    assert evaluator.execute_policy_rule([1]) == [1, "é", None]
    assert system.requests[0].authorization == "Bearer s3cret"
    assert system.requests[0].body == {"policy_rule_uri": URI, "input_data": [1], "parameters": {"a": 1}}


@pytest.mark.parametrize(
    ("variables", "arguments", "executor", "token"),
    [
        ({}, {}, "executor-0", None),
        ({"POLICY_SYSTEM_EXECUTOR_ID": "set", "LICTOR_TOKEN": "set"}, {}, "set", "Bearer set"),
        (
            {"POLICY_SYSTEM_EXECUTOR_ID": "set", "LICTOR_TOKEN": "set"},
            {"executor_id": "said", "token": "said"},
            "said",
            "Bearer said",
        ),
        ({"POLICY_EXECUTION_MODE": "remote"}, {"mode": "local"}, "executor-0", None),
        ({"POLICY_EXECUTION_MODE": "anything"}, {"mode": "local"}, "executor-0", None),
        ({"POLICY_EXECUTION_MODE": ""}, {}, "executor-0", None),
    ],
)
def test_variables_stand_for_what_is_not_said(
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: dict[str, str],
    executor: str,
    token: str | None,
) -> None:
    for name, value in {"POLICY_EXECUTOR_HOST_URL": system.url, **variables}.items():
        monkeypatch.setenv(name, value)
    system.executes({"success": True, "data": 1}, executor=executor)
    evaluator = LocalPolicyEvaluator(**{"policy_rule_uri": URI, "mode": "remote", **arguments})  # type: ignore[arg-type]
    assert evaluator.execute_policy_rule({}) == 1
    assert system.requests[0].authorization == token


def test_a_url_that_is_said_wins_over_the_variable(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_EXECUTOR_HOST_URL", nowhere())
    system.executes({"success": True, "data": 1})
    assert remote(system).execute_policy_rule({}) == 1


@pytest.mark.parametrize(
    ("status", "answer", "kind", "code", "message"),
    [
        (200, {"success": False, "code": "policy_error", "message": "no"}, PolicyFailed, "policy_error", "no"),
        (200, {"success": False, "code": "timeout", "message": "too slow"}, PolicyStopped, "timeout", "too slow"),
        (502, {"success": False, "code": "digest_mismatch", "message": "x"}, PolicyNotLoaded, "digest_mismatch", "x"),
        (401, {"success": False, "code": "unauthorized", "message": "who?"}, PolicyError, "unauthorized", "who?"),
        (404, {"success": False, "message": "Executor not found"}, PolicyError, "internal", "Executor not found"),
        (500, b"<html>", PolicySystemUnreachable, "unreachable", "status 500"),
        (200, {"data": 1}, PolicySystemUnreachable, "unreachable", "status 200"),
    ],
)
def test_each_failure_is_raised_as_what_it_is(
    system: System, status: int, answer: Any, kind: type[PolicyError], code: str, message: str
) -> None:
    system.executes(answer, status)
    with pytest.raises(PolicyError, match=message.replace("?", r"\?")) as raised:
        remote(system).execute_policy_rule({})
    assert (type(raised.value), raised.value.code) == (kind, code)
    assert raised.value.__suppress_context__, "the native exception is nobody's business"


def test_the_policys_own_account_is_passed_on(system: System) -> None:
    failure = {"code": "no_instances", "details": {"traceback": "Traceback …"}}
    system.executes({"success": False, "code": "policy_error", "message": "nobody", "failure": failure}, 500)
    with pytest.raises(PolicyFailed) as raised:
        remote(system).execute_policy_rule({})
    assert (raised.value.code, raised.value.message) == ("no_instances", "nobody")
    assert raised.value.details == {"traceback": "Traceback …"}


def test_who_is_not_there_is_unreachable() -> None:
    evaluator = LocalPolicyEvaluator(URI, mode="remote", executor_host_url=nowhere())
    with pytest.raises(PolicySystemUnreachable) as raised:
        evaluator.execute_policy_rule({})
    assert raised.value.code == "unreachable"
    with pytest.raises(PolicySystemUnreachable):
        LocalPolicyEvaluator(URI, policy_db_url=nowhere(), cache_dir=None)


def test_there_is_nothing_to_manage_on_an_executor(system: System) -> None:
    with pytest.raises(PolicyError, match="need the mode `local`") as raised:
        remote(system).execute_mgmt_command("update_local_allowlist", {"ips": []})
    assert raised.value.code == "not_available"
    assert system.requests == []


def test_what_is_no_json_is_not_sent(system: System) -> None:
    evaluator = remote(system)
    with pytest.raises(ValueError, match="`input_data` cannot be written as JSON"):
        evaluator.execute_policy_rule(float("nan"))
    with pytest.raises(TypeError, match="`input_data` cannot be written as JSON"):
        evaluator.execute_policy_rule({"a": object()})
    with pytest.raises(ValueError, match="`input_data`"):
        evaluator.execute_policy_rule("\ud800")
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ValueError, match="`input_data`.*128"):
        evaluator.execute_policy_rule(deep)
    assert system.requests == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "policy_rule_uri"),
        ({"policy_rule_uri": "a/b"}, "policy_rule_uri"),
        ({"policy_rule_uri": URI, "limits": {"timeout": 5}}, "timeout"),
        ({"policy_rule_uri": URI, "limits": {"timeout_ms": -5}}, "limits.timeout_ms"),
        ({"policy_rule_uri": URI, "grant": {"files": []}}, "files"),
        ({"policy_rule_uri": URI, "grant": {"http": ["a.com"]}}, "a.com"),
        ({"policy_rule_uri": URI, "allow_private": ["10.0.0.1/8"]}, "10.0.0.1/8"),
        ({"policy_rule_uri": URI, "policy_db_url": "x"}, "policy_db_url"),
        ({"policy_rule_uri": URI, "mode": "remote", "custom_component": b""}, "custom_component"),
        ({"policy_rule_uri": URI, "mode": "remote", "executor_host_url": "x"}, "executor_host_url"),
        ({"policy_rule_uri": URI, "mode": "remote", "executor_id": "a/b"}, "executor_id"),
    ],
)
def test_arguments_that_make_no_sense_are_value_errors_that_name_them(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as raised:
        LocalPolicyEvaluator(**{"cache_dir": None, **arguments})
    assert not isinstance(raised.value, PolicyError)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"success": False, "message": "Policy not found."}),
        (404, {"success": False, "code": "not_found", "message": "gone"}),
    ],
)
def test_a_missing_policy_is_the_originals_value_error(system: System, status: int, answer: Any) -> None:
    system.answer("GET", f"/policy/{URI}", answer, status)
    with pytest.raises(ValueError) as raised:
        LocalPolicyEvaluator(URI, policy_db_url=system.url, cache_dir=None)
    assert str(raised.value) == f"Policy rule with URI '{URI}' not found."
    assert isinstance(raised.value, PolicyNotFound) and raised.value.code == "not_found"


def test_a_record_whose_code_cannot_be_had(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_DB_URL", system.url)
    (tmp_path / "text.zip").write_text("no archive")
    for code, arguments, expected in [
        (f"file://{tmp_path}/text.zip", {"allow_file": [tmp_path]}, "bad_archive"),
        (f"file://{tmp_path}/text.zip", {}, "code_unreachable"),
        (f"{system.url}/code.zip", {}, "code_unreachable"),
        (f"{system.url}/code.zip", {"allow_private": ["127.0.0.1"]}, "bad_archive"),
    ]:
        system.answer("GET", "/policy/p:1.0-test", {"success": True, "data": record("p", code)})
        system.answer("GET", "/code.zip", b"no archive")
        with pytest.raises(PolicyNotLoaded) as raised:
            LocalPolicyEvaluator("p:1.0-test", cache_dir=None, token="t", **arguments)  # type: ignore[arg-type]
        assert raised.value.code == expected, (code, raised.value)
    asked = {(request.path, request.authorization) for request in system.requests}
    # The token is for the system, not for whoever has the code.
    assert asked == {("/policy/p:1.0-test", "Bearer t"), ("/code.zip", None)}


def test_an_answer_that_is_no_record_is_unreachable(system: System) -> None:
    for answer in [{"success": True, "data": []}, {"success": True, "data": {"name": 5}}, b"<html>"]:
        system.answer("GET", f"/policy/{URI}", answer)
        with pytest.raises(PolicySystemUnreachable):
            LocalPolicyEvaluator(URI, policy_db_url=system.url, cache_dir=None)


def test_an_own_component_is_read_from_bytes_and_from_a_path(tmp_path: Path) -> None:
    (tmp_path / "broken.wasm").write_bytes(b"\0asm")
    for component in (b"\0asm", tmp_path / "broken.wasm", str(tmp_path / "broken.wasm")):
        with pytest.raises(PolicyNotLoaded) as raised:
            LocalPolicyEvaluator(custom_component=component, cache_dir=None)
        assert raised.value.code == "not_a_component"
    with pytest.raises(PolicyNotLoaded) as raised:
        LocalPolicyEvaluator(custom_component=tmp_path / "missing.wasm", cache_dir=None)
    assert raised.value.code == "code_unreachable"


def test_large_numbers_and_texts_come_through(system: System) -> None:
    document = {"big": 2**53 + 1, "most": 2**64 - 1, "least": -(2**63), "float": 0.1, "text": "\u0000😀\u2028"}
    system.executes({"success": True, "data": document})
    assert remote(system).execute_policy_rule(document) == document
    assert system.requests[0].body["input_data"] == document
    assert json.loads(json.dumps(document)) == document
