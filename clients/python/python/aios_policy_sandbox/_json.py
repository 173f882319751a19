"""Documents as the sandbox takes them."""

from __future__ import annotations

import json
from typing import Any


def text(what: str, value: Any) -> str:
    """The JSON text of a value, which an error calls ``what``."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except TypeError as error:
        raise TypeError(f"{what} cannot be written as JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{what} cannot be written as JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{what} cannot be written as JSON: it is nested too deeply") from None
