"""Policies in this process: the example policies of the repository, under a real policies system."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aios_policy_sandbox import (
    LocalPolicyEvaluator,
    PolicyFailed,
    PolicyNotFound,
    PolicyNotLoaded,
    PolicyStopped,
)
from lictor import Lictor

pytestmark = pytest.mark.lictor

#: What the autoscaler is asked, and what it answers where the application says that it is busy.
ONE = {"current_instances": ["a"]}
UPSCALE = {"skip": False, "operation": "upscale", "instances_count": 1, "reason": "overloaded"}
UNKNOWN = {"skip": True, "reason": "no metrics"}
#: Longer than any test that is as it should be.
PATIENT = {"timeout_ms": 60_000}


@pytest.fixture
def autoscaler(lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]) -> Callable[..., LocalPolicyEvaluator]:
    """An autoscaler that asks the application, by the function `get_metrics`, how busy it is."""
    uri = lictor.example("autoscaler")

    def autoscaler(get_metrics: Callable[..., Any], **arguments: Any) -> LocalPolicyEvaluator:
        settings = {"get_metrics": True, "cooldown_seconds": 0}
        arguments = {"limits": PATIENT, **arguments}
        return make(uri, settings=settings, host_functions={"get_metrics": get_metrics}, **arguments)

    return autoscaler


def threads() -> list[str]:
    """The names of this process's threads that belong to evaluators."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:
            # It ended meanwhile.
            continue
    return [name for name in names if name.startswith("lictor")]


def eventually(so: Callable[[], bool]) -> bool:
    """Whether it becomes so within a minute."""
    deadline = time.monotonic() + 60
    while not so():
        if deadline < time.monotonic():
            return False
        time.sleep(0.01)
    return True


def test_the_documents_local_examples(lictor: Lictor, guests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_DB_URL", lictor.url)
    monkeypatch.setenv("POLICY_EXECUTOR_HOST_URL", lictor.url)
    policy_rule_uri = lictor.example("ip_allowlist", name="ip_allowlist")

    executor = LocalPolicyEvaluator(
        policy_rule_uri=policy_rule_uri, parameters={}, settings={}, mode="local", allow_file=[guests]
    )
    denied = {"allowed": False, "input_data": {"ip": "192.168.0.109"}, "reason": "denied"}
    assert executor.execute_policy_rule({"ip": "192.168.0.109"}) == denied

    remote = LocalPolicyEvaluator(
        policy_rule_uri=policy_rule_uri, parameters={}, settings={}, mode="remote", executor_id="executor-001"
    )
    assert remote.execute_policy_rule({"ip": "192.168.0.109"}) == denied

    output = executor.execute_mgmt_command("update_local_allowlist", {"ips": ["192.168.0.100", "192.168.0.102"]})
    assert output == {"status": "success", "updated_allowlist": ["192.168.0.100", "192.168.0.102"]}
    # What management did is there in the next call, and only in this evaluator.
    assert executor.execute_policy_rule({"ip": "192.168.0.100"})["allowed"] is True
    assert executor.execute_policy_rule({"ip": "192.168.0.1"})["allowed"] is False
    assert remote.execute_policy_rule({"ip": "192.168.0.1"})["allowed"] is True


def test_what_the_caller_gives_overrides_what_is_stored(
    lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]
) -> None:
    uri = lictor.example("ip_allowlist")
    evaluator = make(uri, parameters={"local_allowlist": ["10.0.0.1"]}, settings={"allowlist_api": None})
    assert evaluator.execute_policy_rule({"ip": "10.0.0.1"})["allowed"] is True
    assert evaluator.execute_policy_rule({"ip": "127.0.0.1"})["allowed"] is False


def test_a_failure_of_the_policy_is_its_own_account(lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]) -> None:
    evaluator = make(lictor.example("load_balancer"))
    with pytest.raises(PolicyFailed) as raised:
        evaluator.execute_policy_rule({"mode": "load_balance", "instances": []})
    assert raised.value.code == "no_instances"
    with pytest.raises(PolicyFailed) as raised:
        evaluator.execute_mgmt_command("no_such", {})
    assert raised.value.code == "unknown_action"
    chosen = evaluator.execute_policy_rule({"mode": "load_balance", "packet": {}, "instances": ["a"]})
    assert chosen == {"instance_id": "a"}, "nothing was lost"


def test_a_component_of_the_applications_own_needs_no_record(guests: Path, compiled: Path) -> None:
    archive = guests / "ip_allowlist.zip"
    for component in (archive, str(archive), archive.read_bytes(), (guests / "ip_allowlist.wasm").read_bytes()):
        evaluator = LocalPolicyEvaluator(
            custom_component=component, parameters={"local_allowlist": ["10.0.0.1"]}, cache_dir=compiled
        )
        assert evaluator.execute_policy_rule({"ip": "10.0.0.1"})["allowed"] is True


def test_ways_not_to_get_a_policy(lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]) -> None:
    with pytest.raises(PolicyNotFound, match="^Policy rule with URI 'no-such:1.0-x' not found.$"):
        make("no-such:1.0-x")
    pinned = lictor.example("ip_allowlist", name="pinned", code_digest=f"sha256:{'0' * 64}")
    with pytest.raises(PolicyNotLoaded) as raised:
        make(pinned)
    assert raised.value.code == "digest_mismatch"


def test_code_is_compiled_once_and_kept(
    lictor: Lictor, make: Callable[..., LocalPolicyEvaluator], guests: Path, tmp_path: Path
) -> None:
    uri, cache = lictor.example("ip_allowlist"), tmp_path / "kept"
    make(uri, cache_dir=cache)
    (made,) = [file.stat().st_ino for file in (cache / "artifacts").iterdir()]
    make(uri, cache_dir=cache)
    assert [file.stat().st_ino for file in (cache / "artifacts").iterdir()] == [made]
    make(uri, cache_dir=None)
    default = Path(os.environ["XDG_CACHE_HOME"]) / "lictor" / "python"
    assert not default.exists()
    LocalPolicyEvaluator(uri, policy_db_url=lictor.url, allow_file=[guests])
    assert len(list((default / "artifacts").iterdir())) == 1


def test_a_function_of_the_application_is_asked_each_time(autoscaler: Callable[..., LocalPolicyEvaluator]) -> None:
    answers, asked = [{"utilization": 0.9}, {"utilization": 0.5}], []

    def get_metrics(arguments: Any) -> Any:
        asked.append((arguments, threading.current_thread() is threading.main_thread()))
        return answers.pop(0)

    evaluator = autoscaler(get_metrics)
    assert evaluator.execute_policy_rule(ONE) == UPSCALE
    assert evaluator.execute_policy_rule(ONE) == {"skip": True, "reason": "steady"}
    assert asked == [({}, False), ({}, False)]


@pytest.mark.parametrize(
    ("get_metrics", "said"),
    [
        (lambda _: 1 / 0, "division by zero"),
        (lambda _: object(), "cannot be written as JSON"),
        (lambda _: float("nan"), "cannot be written as JSON"),
        (lambda: {}, "positional argument"),
    ],
)
def test_what_goes_wrong_in_a_function_is_a_failure_that_the_policy_sees(
    autoscaler: Callable[..., LocalPolicyEvaluator],
    caplog: pytest.LogCaptureFixture,
    get_metrics: Callable[..., Any],
    said: str,
) -> None:
    evaluator = autoscaler(get_metrics)
    with caplog.at_level(logging.DEBUG, "aios_policy_sandbox.policy"):
        assert evaluator.execute_policy_rule(ONE) == UNKNOWN
    # The autoscaler logs the failure's message, which is also how it is known that logs arrive.
    (warning,) = [record for record in caplog.records if "get_metrics" in record.getMessage()]
    assert warning.levelno == logging.WARNING and said in warning.getMessage()


def test_a_function_needs_the_record_to_ask_for_it(
    lictor: Lictor, make: Callable[..., LocalPolicyEvaluator], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    uri = lictor.example("autoscaler", name="asks-for-nothing", capabilities={})
    evaluator = make(uri, settings={"get_metrics": True}, host_functions={"get_metrics": calls.append})
    with caplog.at_level(logging.DEBUG, "aios_policy_sandbox.policy"):
        assert evaluator.execute_policy_rule(ONE) == UNKNOWN
    assert calls == []
    assert "`capabilities.host` with `get_metrics`" in caplog.text


def test_a_function_that_takes_too_long_does_not_hold_up_the_end_of_the_call(
    autoscaler: Callable[..., LocalPolicyEvaluator],
) -> None:
    release, busy = threading.Event(), {"utilization": 0.9}
    evaluator = autoscaler(lambda _: release.wait(60) and busy, limits={"timeout_ms": 1000})
    try:
        began = time.monotonic()
        with pytest.raises(PolicyStopped) as raised:
            evaluator.execute_policy_rule(ONE)
        assert raised.value.code == "timeout" and raised.value.state_lost
        assert time.monotonic() - began < 30
    finally:
        release.set()
    assert evaluator.execute_policy_rule(ONE) == UPSCALE, "the next call begins with a fresh instance"


def test_an_evaluator_is_gone_although_its_function_still_runs(autoscaler: Callable[..., LocalPolicyEvaluator]) -> None:
    release, entered = threading.Event(), threading.Event()

    def get_metrics(_: Any) -> None:
        entered.set()
        release.wait(60)

    evaluator = autoscaler(get_metrics, limits={"timeout_ms": 1000})
    try:
        with pytest.raises(PolicyStopped):
            evaluator.execute_policy_rule(ONE)
        assert entered.is_set()
        began = time.monotonic()
        # It waits for the lock that this thread has, so whoever waited for it here would wait for ever.
        del evaluator
        gc.collect()
        assert time.monotonic() - began < 30
    finally:
        release.set()


def test_limits_end_a_policy(lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]) -> None:
    with pytest.raises(PolicyStopped) as raised:
        make(lictor.example("ip_allowlist"), limits={"fuel": 10}).execute_policy_rule({"ip": "10.0.0.1"})
    assert raised.value.code == "out_of_fuel"


def test_the_lock_is_free_while_a_policy_runs(autoscaler: Callable[..., LocalPolicyEvaluator]) -> None:
    """The policy waits for a function, which waits for another thread: none of them gets on without the lock."""
    asked, answer = threading.Event(), threading.Event()

    def get_metrics(_: Any) -> Any:
        asked.set()
        return {"utilization": 0.9 if answer.wait(30) else 0.5}

    def progress() -> None:
        if asked.wait(30):
            answer.set()

    other = threading.Thread(target=progress)
    other.start()
    assert autoscaler(get_metrics).execute_policy_rule(ONE) == UPSCALE
    other.join()


def test_two_evaluators_run_at_once(autoscaler: Callable[..., LocalPolicyEvaluator]) -> None:
    both = threading.Barrier(2, timeout=30)

    def get_metrics(_: Any) -> Any:
        # Broken, and so an exception, unless both policies are in the middle of a call.
        both.wait()
        return {"utilization": 0.9}

    answers: list[Any] = []

    def run(evaluator: LocalPolicyEvaluator) -> None:
        answers.append([evaluator.execute_policy_rule(ONE) for _ in range(20)])

    running = [threading.Thread(target=run, args=[autoscaler(get_metrics)]) for _ in range(2)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert answers == [[UPSCALE] * 20] * 2


def test_threads_may_share_an_evaluator(lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]) -> None:
    evaluator = make(lictor.example("ip_allowlist"), parameters={"local_allowlist": ["10.0.0.1"]})
    answers: list[bool] = []

    def run() -> None:
        answers.extend(evaluator.execute_policy_rule({"ip": "10.0.0.1"})["allowed"] for _ in range(50))

    running = [threading.Thread(target=run) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert answers == [True] * 200


def test_an_evaluator_and_its_application_are_collected_together(
    autoscaler: Callable[..., LocalPolicyEvaluator],
) -> None:
    class Application:
        def __init__(self) -> None:
            self.evaluator = autoscaler(self.get_metrics)

        def get_metrics(self, _: Any) -> Any:
            return {"utilization": 0.9}

    gc.collect()
    assert eventually(lambda: threads() == []), threads()
    application = Application()
    assert application.evaluator.execute_policy_rule(ONE) == UPSCALE
    assert threads() != []
    alive = weakref.ref(application)
    del application
    gc.collect()
    assert alive() is None
    assert eventually(lambda: threads() == []), threads()


def test_an_evaluator_does_not_survive_a_fork_and_says_so(
    lictor: Lictor, make: Callable[..., LocalPolicyEvaluator]
) -> None:
    uri = lictor.example("ip_allowlist")
    evaluator = make(uri)
    child = os.fork()
    if child == 0:
        # Whatever happens here, this must not go on to be a second run of the tests.
        try:
            signal.alarm(60)
            said = ""
            try:
                evaluator.execute_policy_rule({"ip": "10.0.0.1"})
            except RuntimeError as error:
                said = str(error)
            del evaluator
            gc.collect()
            os._exit(0 if "forked" in said else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert evaluator.execute_policy_rule({"ip": "10.0.0.1"})["reason"] == "denied"


def test_ctrl_c_ends_a_call(autoscaler: Callable[..., LocalPolicyEvaluator]) -> None:
    release = threading.Event()

    def get_metrics(_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        release.wait(60)

    evaluator = autoscaler(get_metrics)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            evaluator.execute_policy_rule(ONE)
    finally:
        release.set()
    assert time.monotonic() - began < 30
