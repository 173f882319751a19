"""What can go wrong with a policy.

Arguments that make no sense are a ``ValueError`` or a ``TypeError``, as everywhere in Python. Whatever a class of the
application's own raises comes out as it is.
"""

from __future__ import annotations

from typing import Any


class PolicyError(Exception):
    """There is no answer. Each other error is one of these; this one itself says that something refused.

    Its ``code`` is then the executor's or the system's own, such as ``unauthorized`` or ``not_found``, or one of ours:
    ``not_available`` (it cannot be done in this mode), ``busy``, ``internal``.
    """

    def __init__(self, message: str, code: str = "internal", details: Any = None) -> None:
        # All of them, so that the error can be pickled on its way out of a worker process.
        super().__init__(message, code, details)
        #: What happened, for a person.
        self.message = message
        #: A stable identifier that a program can act on.
        self.code = code
        #: What else is known, as JSON values.
        self.details = details

    def __str__(self) -> str:
        return self.message


class PolicyFailed(PolicyError):
    """The policy's own account of why it did not answer.

    ``code`` and ``details`` are the policy's own. Of a Python policy, the code is the class of the exception, and
    ``details["traceback"]`` is where it came from.
    """


class PolicyStopped(PolicyError):
    """The policy was stopped: by a limit, by its own fault, or by its schemas.

    ``code`` says by which: ``timeout``, ``out_of_memory``, ``out_of_fuel``, ``output_too_large``, ``hostcall_limit``,
    ``stack_overflow``, ``trap``, ``bad_output``, ``denied_capability``, ``input_schema`` or ``output_schema``.
    ``details["violations"]`` lists what did not match a schema.
    """

    @property
    def state_lost(self) -> bool:
        """Whether the policy forgot what it remembered, so that the next call begins with a fresh instance."""
        return isinstance(self.details, dict) and self.details.get("state_lost") is True


class PolicyNotLoaded(PolicyError):
    """The policy's code cannot be had, or is no policy.

    ``code`` says why: ``code_unreachable``, ``digest_mismatch``, ``bad_archive``, ``not_a_component``,
    ``missing_export``, ``unknown_import``, ``too_complex``, ``not_available``, ``invalid_input``.
    """


class PolicyNotFound(PolicyNotLoaded, ValueError):
    """The policies system has no such policy. A ``ValueError``, because the original raises one."""


class PolicySystemUnreachable(PolicyError):
    """The policies system, or the executor, gave no answer to go by."""
