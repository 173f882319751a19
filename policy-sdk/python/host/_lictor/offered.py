"""The standard library: what is to exist must be imported while the component is made."""

import gc
import importlib
import os
import pkgutil
import sys

from . import connections, files, log, waiting

# Of no use without a screen, a process, a compiler or a test suite.
LEFT_OUT = frozenset(
    "antigravity ensurepip idlelib lib2to3 pydoc_data test this tkinter turtle turtledemo venv _pyrepl "
    "__phello__ _ios_support _android_support _apple_support _osx_support nt msvcrt winreg winsound".split()
)
# What a policy finds beside the standard library.
OURS = ("requests",)


def prepare() -> None:
    log_and_input()
    # Before anything is imported that keeps an `open` of its own.
    files.install()
    connections.install()
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        bring(name)
    for name in OURS:
        bring(name)
    waiting.install()
    files.only_own()
    # What the machine that made the component had is nothing to a policy.
    os.environ.clear()
    sys.argv[:] = [""]
    # PERF: a collection goes through everything that was imported here, and copies each page that it touches. A short
    # call ends before the first one is due.
    gc.set_threshold(50_000)
    gc.collect()
    gc.freeze()


def bring(name: str) -> None:
    """Imports a module and all that is in it; what cannot be imported here is not offered."""
    module = quietly(name)
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if found.name not in ("__main__", "test", "tests", "idle_test"):
            bring(f"{name}.{found.name}")


def quietly(name: str) -> object:
    try:
        return importlib.import_module(name)
    except BaseException as error:
        missing.append(f"{name}: {type(error).__name__}: {error}")
        return None


missing: list[str] = []


def log_and_input() -> None:
    import io

    sys.stdout = sys.__stdout__ = log.STDOUT  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = log.STDERR  # type: ignore[assignment, misc]
    sys.stdin = sys.__stdin__ = io.StringIO()  # type: ignore[assignment, misc]
