"""The life of one instance: loaded, constructed, asked."""

import gc
import json
import os
import random
import sys
from typing import Any

from componentize_py_types import Err

from . import answers, callables, failures, log
from .context import Context
from .files import CLASS, FOLDER, MAIN


class Policy:
    """A policy class, and its one instance."""

    def __init__(self) -> None:
        self.kind: Any = None
        self.rule: Any = None
        self.parameters: Any = None
        # The text that the parameters were read from, until management may have changed them.
        self.given: str | None = None
        self.context = Context()
        # Whether chance was the same for all copies of this instance until now.
        self.frozen = False

    def load(self, compiled: bytes) -> None:
        """Makes the class. What its file does when it is imported happens here."""
        reseed()
        with Guard():
            self.find(compiled)

    def freeze(self, compiled: bytes) -> None:
        """The same for an instance that is copied. What the host is asked meanwhile, the host sees itself."""
        random.seed(0)
        before = random.getstate()
        with Guard():
            self.find(compiled)
        if random.getstate() != before:
            raise failures.failure("not_available", "the policy's file uses `random` when it is loaded")
        self.frozen = True
        gc.collect()
        gc.freeze()

    def find(self, compiled: bytes) -> None:
        FOLDER.load(compiled)
        # As if the file had been started.
        sys.argv[:] = [MAIN]
        module = FOLDER.main()
        self.kind = getattr(module, CLASS, None)
        if not isinstance(self.kind, type):
            raise failures.failure("missing_export", f"`code/function.py` defines no class `{CLASS}`")
        if not callable(getattr(self.kind, "eval", None)):
            raise failures.failure("missing_export", f"the class `{CLASS}` has no method `eval`")

    def init(self, rule_id: str, settings: str, parameters: str) -> None:
        if self.kind is None:
            raise failures.failure("not_available", "no policy was loaded")
        if self.frozen:
            # An author's own seed is not undone: freezing refuses a file that touches chance.
            reseed()
        with Guard():
            self.parameters, self.given = json.loads(parameters), parameters
            self.rule = self.kind(rule_id, callables.restored(json.loads(settings)), self.parameters)

    def eval(self, parameters: str | None, input: str) -> str:
        with Guard(self.context):
            # `self.parameters` and the argument are one object unless the call brought others.
            own = parameters is None or parameters == self.given
            given = self.parameters if own else json.loads(parameters or "null")
            return answers.text(self.rule.eval(given, json.loads(input), self.context), "eval")

    def management(self, action: str, data: str) -> str:
        self.given = None
        with Guard(self.context):
            if not callable(getattr(self.rule, "management", None)):
                raise failures.failure("not_available", f"the class `{CLASS}` has no method `management`")
            return answers.text(self.rule.management(action, json.loads(data)), "management")


def reseed() -> None:
    random.seed(int.from_bytes(os.urandom(32)))


class Guard:
    """Around whatever the author's code does: its exceptions are failures, and its log and its context are whole."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context

    def __enter__(self) -> None:
        if self.context is not None:
            self.context.begin()

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        try:
            if self.context is not None:
                self.context.write_back()
        except Exception as late:
            error = error or late
        log.end_lines()
        if error is None or isinstance(error, Err):
            return
        raise failures.of_exception(error) from None
