"""The native part: not for applications. Documents and options are JSON text."""

from collections.abc import Callable
from typing import final

class Failed(Exception):
    """Its arguments: kind, code, message, and details as JSON text or None."""

@final
class Evaluator:
    """Evaluates one policy. Lets go of the interpreter's lock while that runs."""

    def __new__(
        cls,
        options: str,
        functions: list[str],
        call: Callable[[str, str], str],
        log: Callable[[str, str, str, str], None],
        component: bytes | None = None,
    ) -> Evaluator: ...
    def execute(self, input: str) -> str: ...
    def manage(self, action: str, data: str) -> str: ...
