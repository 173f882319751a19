"""Where things are if nobody says where."""

from __future__ import annotations

import os
from pathlib import Path

#: The Python host component, if this package was built with it.
_PYTHON_HOST = Path(__file__).with_name("python_host.wasm")


def python_host() -> Path | None:
    return _PYTHON_HOST if _PYTHON_HOST.is_file() else None


def cache_dir() -> Path | None:
    """The folder of this user's for code that was compiled; none if there can be none.

    It is only to save time, so an account without a home must not keep a policy from running.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # As the XDG specification says, what is not absolute does not count.
        folder = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "lictor" / "python"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
