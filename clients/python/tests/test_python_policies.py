"""Policies that are Python classes, in the sandbox's own Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aios_policy_sandbox import LocalPolicyEvaluator, PolicyFailed, PolicyStopped
from lictor import Lictor

pytestmark = pytest.mark.python_host

CLASS = """
class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.settings, self.parameters, self.n = settings, parameters, 0

    def eval(self, parameters, input_data, context):
{eval}

    def management(self, action, data):
        self.parameters.update(data)
        return {{"action": action}}
"""


class Database:
    """A client that an application has."""

    def get(self, key: str, default: Any = None) -> Any:
        if key == "forbidden":
            raise PermissionError(f"{key} is not for policies")
        return {"a": 1}.get(key, default)


@pytest.fixture
def policy(
    lictor: Lictor, guests: Path, make: Callable[..., LocalPolicyEvaluator], request: pytest.FixtureRequest
) -> Callable[..., LocalPolicyEvaluator]:
    """An evaluator of a class whose `eval` has this body."""

    def policy(body: str, asks_for: tuple[str, ...] = (), **arguments: Any) -> LocalPolicyEvaluator:
        lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
        name = request.node.name.split("[")[0].replace("_", "-")
        uri = lictor.python(name, CLASS.format(eval=lines), capabilities={"host": list(asks_for)})
        # An interpreter is larger and slower to begin than what limits are meant for by default.
        arguments = {"limits": {"timeout_ms": 60_000, "memory_mb": 512}, **arguments}
        return make(uri, python_host=guests / "python_host.wasm", **arguments)

    return policy


def test_the_seeds_policy_runs_as_it_is(
    lictor: Lictor, guests: Path, make: Callable[..., LocalPolicyEvaluator]
) -> None:
    if "LICTOR_SEED_POLICY" not in os.environ:
        pytest.skip("LICTOR_SEED_POLICY is not set")
    uri = lictor.python(
        "seed",
        Path(os.environ["LICTOR_SEED_POLICY"]),
        policy_settings={"allowlist_api": "https://example.com/api/allowlist"},
        policy_parameters={"local_allowlist": ["127.0.0.1", "192.168.0.1"]},
        limits={"timeout_ms": 60_000, "memory_mb": 512},
    )
    executor = make(uri, parameters={}, settings={}, mode="local", python_host=guests / "python_host.wasm")
    denied = {"allowed": False, "input_data": {"ip": "192.168.0.109"}, "reason": "denied"}
    assert executor.execute_policy_rule({"ip": "192.168.0.109"}) == denied
    assert executor.execute_policy_rule({"ip": "192.168.0.1"})["allowed"] is True
    ips = ["192.168.0.100", "192.168.0.102"]
    output = executor.execute_mgmt_command("update_local_allowlist", {"ips": ips})
    assert output == {"status": "success", "updated_allowlist": ips}
    assert executor.execute_policy_rule({"ip": "192.168.0.100"})["allowed"] is True
    assert executor.execute_policy_rule({"ip": "192.168.0.1"})["allowed"] is False
    assert executor.execute_mgmt_command("get_state", {})["local_allowlist"] == ips


def test_state_and_parameters_are_kept(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    evaluator = policy("self.n += 1\nreturn [self.n, parameters]", parameters={"a": 1})
    assert evaluator.execute_policy_rule({}) == [1, {"a": 1}]
    assert evaluator.execute_mgmt_command("set", {"b": 2}) == {"action": "set"}
    # `parameters` is the dict that the instance has, which management has changed.
    assert evaluator.execute_policy_rule({}) == [2, {"a": 1, "b": 2}]


def test_an_exception_is_a_failure_with_its_traceback(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    evaluator = policy("self.n += 1\nif input_data == 1: raise LookupError('nothing there')\nreturn self.n")
    with pytest.raises(PolicyFailed, match="nothing there") as raised:
        evaluator.execute_policy_rule(1)
    assert raised.value.code == "LookupError"
    assert "Traceback" in raised.value.details["traceback"]
    assert evaluator.execute_policy_rule(2) == 2, "an exception loses nothing"


def test_an_endless_loop_is_stopped(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    body = "self.n += 1\nwhile input_data == 1: pass\nreturn self.n"
    evaluator = policy(body, limits={"timeout_ms": 5000, "memory_mb": 512})
    assert evaluator.execute_policy_rule(2) == 1
    with pytest.raises(PolicyStopped) as raised:
        evaluator.execute_policy_rule(1)
    assert raised.value.code == "timeout" and raised.value.state_lost
    assert evaluator.execute_policy_rule(2) == 1, "a fresh instance"


def test_it_runs_in_the_sandbox_and_not_here(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    evaluator = policy("import sys\nsys.modules['seen-by-the-policy'] = sys\nreturn sys.platform")
    assert evaluator.execute_policy_rule({}) != sys.platform
    assert "seen-by-the-policy" not in sys.modules


def test_functions_and_objects_in_settings_can_be_called(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    body = """
f, db = self.settings["get_metrics"], self.settings["clients"]["db"]
return [f(), f(1), f(1, b=2), db.get("a"), db.get("b", default=5), self.settings["n"]]
"""
    settings = {"get_metrics": lambda *args, **kwargs: [args, kwargs], "clients": {"db": Database()}, "n": 7}
    evaluator = policy(body, ("get_metrics", "clients.db.get"), settings=settings)
    expected = [[[], {}], [[1], {}], [[1], {"b": 2}], 1, 5, 7]
    assert evaluator.execute_policy_rule({}) == expected


def test_what_a_function_raises_is_an_exception_in_the_policy(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    body = """
try:
    return self.settings["db"].get(input_data)
except Exception as error:
    return str(error)
"""
    evaluator = policy(body, ("db.get",), settings={"db": Database()})
    assert evaluator.execute_policy_rule("a") == 1
    assert "forbidden is not for policies" in evaluator.execute_policy_rule("forbidden")


def test_a_function_that_the_record_does_not_ask_for_is_not_called(policy: Callable[..., LocalPolicyEvaluator]) -> None:
    calls: list[Any] = []
    evaluator = policy("return self.settings['f'](1)", ("other",), settings={"f": calls.append})
    with pytest.raises(PolicyFailed):
        evaluator.execute_policy_rule({})
    assert calls == []
