"""Functions and objects in settings: the markers that the policy gets, and the calls that come back."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest

from aios_policy_sandbox import LocalPolicyEvaluator
from aios_policy_sandbox._host import HostFunctions, marked


class Client:
    """An object that an application would hand over."""

    base = "http://db"

    def __init__(self) -> None:
        self.n_looked = 0

    def get(self, key: str, default: Any = None) -> Any:
        return {"a": 1}.get(key, default)

    def put(self, key: str) -> None:
        raise PermissionError(f"{key} is read-only")

    def _reset(self) -> None: ...

    @property
    def live(self) -> Callable[[], int]:
        self.n_looked += 1
        return lambda: 1


def call(functions: HostFunctions, name: str, arguments: Any) -> Any:
    return json.loads(functions.call(name, json.dumps(arguments)))


def test_json_stays_as_it_is() -> None:
    settings: dict[str, Any] = {"a": [1, 2.5, None, True, "x", {"b": []}], "t": (1, 2), "m": MappingProxyType({"c": 1})}
    functions = HostFunctions()
    assert marked(settings, functions) == {
        "a": [1, 2.5, None, True, "x", {"b": []}],
        "t": [1, 2],
        "m": {"c": 1},
    }
    assert functions.names() == []


def test_functions_at_any_depth_have_their_dotted_path() -> None:
    functions = HostFunctions()
    settings: dict[str, Any] = {
        "get_metrics": lambda: 1,
        "clients": {"query": lambda: 2, "n": 1},
        "hooks": [lambda: 3, "x"],
    }
    assert marked(settings, functions) == {
        "get_metrics": {"$host_function": "get_metrics"},
        "clients": {"query": {"$host_function": "clients.query"}, "n": 1},
        "hooks": [{"$host_function": "hooks.0"}, "x"],
    }
    assert [call(functions, name, None) for name in ("get_metrics", "clients.query", "hooks.0")] == [1, 2, 3]


def test_an_object_is_its_public_methods() -> None:
    functions, client = HostFunctions(), Client()
    marker = {"$host_object": {"name": "clients.db", "methods": ["get", "put"]}}
    assert marked({"clients": {"db": client}}, functions) == {"clients": {"db": marker}}
    assert functions.names() == ["clients.db.get", "clients.db.put"]
    assert call(functions, "clients.db.get", {"args": ["b"], "kwargs": {"default": 5}}) == 5
    with pytest.raises(PermissionError, match="a is read-only"):
        functions.call("clients.db.put", '"a"')
    assert client.n_looked == 0, "a property may do something, and was looked into"


def test_settings_that_are_given_are_not_changed() -> None:
    settings = {"f": print, "deep": {"f": print}}
    marked(settings, HostFunctions())
    assert settings == {"f": print, "deep": {"f": print}}


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (None, [[], {}]),
        ({"args": [1, 2], "kwargs": {"k": 3}}, [[1, 2], {"k": 3}]),
        ({"args": [], "kwargs": {}}, [[], {}]),
        # Not quite those two, so it is one value.
        ({"args": [1]}, [[{"args": [1]}], {}]),
        ({"args": 1, "kwargs": {}}, [[{"args": 1, "kwargs": {}}], {}]),
        ({"args": [], "kwargs": {}, "x": 1}, [[{"args": [], "kwargs": {}, "x": 1}], {}]),
        ({}, [[{}], {}]),
        ([1, 2], [[[1, 2]], {}]),
        (0, [[0], {}]),
        (False, [[False], {}]),
    ],
)
def test_arguments_are_spread_or_one_value(arguments: Any, seen: Any) -> None:
    functions = HostFunctions({"f": lambda *args, **kwargs: [args, kwargs]})
    assert call(functions, "f", arguments) == seen


@pytest.mark.parametrize("answer", [object(), {1, 2}, b"x", float("nan")])
def test_an_answer_that_is_no_json_is_an_error_that_names_the_function(answer: Any) -> None:
    functions = HostFunctions({"f": lambda: answer})
    with pytest.raises((TypeError, ValueError), match="'f' returned cannot be written as JSON"):
        functions.call("f", "null")


@pytest.mark.parametrize("value", [b"x", {1}, 1j, object(), gc])
def test_values_that_are_no_json_and_nothing_to_call_are_refused_by_their_path(value: Any) -> None:
    with pytest.raises(TypeError, match=r"`settings\.a\.b`"):
        marked({"a": {"b": value}}, HostFunctions())


def test_other_objects_with_methods_are_handed_over() -> None:
    functions = HostFunctions()
    marked({"now": datetime(2020, 1, 2)}, functions)
    assert call(functions, "now.isoformat", None) == "2020-01-02T00:00:00"


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two host functions would have the name 'a.b'"):
        marked({"a.b": print, "a": {"b": print}}, HostFunctions())
    with pytest.raises(ValueError, match="'f'"):
        marked({"f": print}, HostFunctions({"f": print}))


def test_settings_that_contain_themselves_are_refused() -> None:
    settings: dict[str, Any] = {"a": []}
    settings["a"].append(settings["a"])
    with pytest.raises(ValueError, match="contains itself"):
        marked(settings, HostFunctions())
    whole: dict[str, Any] = {}
    whole["self"] = whole
    with pytest.raises(ValueError, match="contains itself"):
        marked(whole, HostFunctions())
    # The same object twice is no circle.
    shared = [1]
    assert marked({"a": shared, "b": shared}, HostFunctions()) == {"a": [1], "b": [1]}


def test_native_code_does_not_keep_functions_alive() -> None:
    functions = HostFunctions({"f": lambda: 1})
    call, alive = functions.weakly(), weakref.ref(functions)
    assert call("f", "null") == "1"
    del functions
    assert alive() is None
    with pytest.raises(RuntimeError, match="gone"):
        call("f", "null")


def test_host_functions_must_be_functions() -> None:
    with pytest.raises(TypeError, match="'f'"):
        LocalPolicyEvaluator("p:1-x", host_functions={"f": 1})  # type: ignore[dict-item]
