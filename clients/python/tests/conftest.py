"""What tests are run against, and which of them cannot be run here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aios_policy_sandbox import LocalPolicyEvaluator
from lictor import Lictor
from system import System

VARIABLES = (
    "POLICY_EXECUTION_MODE",
    "POLICY_DB_URL",
    "POLICY_EXECUTOR_HOST_URL",
    "POLICY_SYSTEM_EXECUTOR_ID",
    "LICTOR_TOKEN",
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    marks = {mark.name for mark in item.iter_markers()}
    if marks & {"native", "lictor", "python_host"} and importlib.util.find_spec("aios_policy_sandbox._native") is None:
        # Whoever names the binary wants everything to be tested.
        missing = pytest.fail if "LICTOR_BIN" in os.environ else pytest.skip
        missing("the extension is not built: install the wheel that build.sh makes")
    if marks & {"lictor", "python_host"}:
        for variable in ("LICTOR_BIN", "LICTOR_GUESTS"):
            if variable not in os.environ:
                pytest.skip(f"{variable} is not set")
    if "python_host" in marks and not (Path(os.environ["LICTOR_GUESTS"]) / "python_host.wasm").is_file():
        pytest.skip("LICTOR_GUESTS has no python_host.wasm")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of whoever runs the tests, and a cache that begins empty."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def system() -> Iterator[System]:
    with System() as system:
        yield system


@pytest.fixture(scope="session")
def guests() -> Path:
    return Path(os.environ["LICTOR_GUESTS"]).resolve()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests together: compiling a policy takes seconds."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def lictor(tmp_path_factory: pytest.TempPathFactory, guests: Path) -> Iterator[Lictor]:
    with Lictor(Path(os.environ["LICTOR_BIN"]), tmp_path_factory.mktemp("lictor"), guests) as lictor:
        yield lictor


@pytest.fixture
def make(lictor: Lictor, guests: Path, compiled: Path) -> Callable[..., LocalPolicyEvaluator]:
    """Makes an evaluator of what the server has under a URI."""

    def make(uri: str, **arguments: Any) -> LocalPolicyEvaluator:
        arguments = {"cache_dir": compiled, "allow_file": [guests, lictor.files], **arguments}
        return LocalPolicyEvaluator(uri, policy_db_url=lictor.url, **arguments)

    return make
