"""What policies say, in the application's own log."""

from __future__ import annotations

import logging

_LEVELS = {
    # Below what `logging` has a name for.
    "trace": 5,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_logger = logging.getLogger("aios_policy_sandbox.policy")


def line(policy: str, level: str, context: str, message: str) -> None:
    """One line of a policy, which came with this context or through this stream."""
    _logger.log(_LEVELS[level], "%s: %s", policy, message, extra={"policy": policy, "context": context})
