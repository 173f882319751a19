"""A class of the application's own, which runs in this interpreter."""

from __future__ import annotations

from typing import Any

import pytest

from aios_policy_sandbox import LocalPolicyEvaluator


class Counter:
    """Remembers everything that it was given."""

    def __init__(self, rule_id: str, settings: dict[str, Any], parameters: dict[str, Any]) -> None:
        self.made_with = (rule_id, settings, parameters)
        self.calls: list[Any] = []

    def eval(self, parameters: dict[str, Any], input_data: Any, context: dict[str, Any]) -> Any:
        if input_data == "raise":
            raise LookupError("nothing there")
        context["n"] = context.get("n", 0) + 1
        self.calls.append((parameters, input_data, context["n"]))
        return self

    def management(self, action: str, data: Any) -> Any:
        return {"action": action, "data": data, "self": self}


def test_it_is_constructed_and_called_as_the_original_does() -> None:
    settings, parameters = {"client": object()}, {"a": [1]}
    evaluator = LocalPolicyEvaluator(None, parameters, settings, Counter, "local")
    counter = evaluator.execute_policy_rule({"x": 1})
    assert counter.made_with[0] == ""
    # The very objects: nothing is copied or made JSON.
    assert counter.made_with[1] is settings and counter.made_with[2] is parameters
    assert evaluator.execute_policy_rule("y") is counter
    assert counter.calls == [({}, {"x": 1}, 1), ({}, "y", 2)]
    done = evaluator.execute_mgmt_command("reset", {"hard": True})
    assert done == {"action": "reset", "data": {"hard": True}, "self": counter}
    assert evaluator.mode == "local"


def test_without_settings_and_parameters_it_gets_empty_ones() -> None:
    counter = LocalPolicyEvaluator(custom_class=Counter).execute_policy_rule(None)
    assert counter.made_with == ("", {}, {})


def test_its_exceptions_are_its_own() -> None:
    with pytest.raises(LookupError, match="nothing there"):
        LocalPolicyEvaluator(custom_class=Counter).execute_policy_rule("raise")


def test_each_evaluator_has_a_context_of_its_own() -> None:
    first, second = LocalPolicyEvaluator(custom_class=Counter), LocalPolicyEvaluator(custom_class=Counter)
    first.execute_policy_rule(1)
    assert second.execute_policy_rule(2).calls == [({}, 2, 1)]


def test_what_is_no_class_and_what_is_two_policies_is_refused() -> None:
    with pytest.raises(TypeError, match="custom_class"):
        LocalPolicyEvaluator(custom_class="Counter")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two policies"):
        LocalPolicyEvaluator(custom_class=Counter, custom_component=b"")


@pytest.mark.native
def test_in_remote_mode_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the original has it: an executor runs the policy of its system.
    with pytest.raises(ValueError, match="policy_rule_uri"):
        LocalPolicyEvaluator(custom_class=Counter, mode="remote")
    monkeypatch.setenv("POLICY_EXECUTION_MODE", "remote")
    with pytest.raises(ValueError, match="policy_rule_uri"):
        LocalPolicyEvaluator(custom_class=Counter, mode="local")


def test_the_mode_of_the_environment_wins_for_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_EXECUTION_MODE", "local")
    assert LocalPolicyEvaluator(custom_class=Counter, mode="remote").mode == "local"
