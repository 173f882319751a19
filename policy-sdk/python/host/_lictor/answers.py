"""From what a policy returns to JSON."""

import dataclasses
import datetime
import decimal
import email.utils
import json
import uuid
from typing import Any

from . import failures


def text(answer: Any, method: str) -> str:
    try:
        res = ENCODER.encode(answer)
        if not res.isascii():
            # A lone surrogate has no UTF-8.
            res.encode()
        return res
    except UnicodeEncodeError:
        return json.dumps(answer, separators=(",", ":"), default=plain)
    except (TypeError, ValueError) as error:
        raise failures.failure("bad_output", f"what `{method}` returned is not JSON: {error}") from None


def plain(value: Any) -> Any:
    """What the original's web framework makes of values that JSON does not have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, datetime.datetime):
        at = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return email.utils.format_datetime(at.astimezone(datetime.UTC), usegmt=True)
    if isinstance(value, datetime.date):
        at = datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC)
        return email.utils.format_datetime(at, usegmt=True)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# PERF: made once, and not in each call.
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=plain)
