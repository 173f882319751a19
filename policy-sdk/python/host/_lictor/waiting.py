"""An event loop for `asyncio` that waits for time and for nothing else: there are no sockets and no threads."""

import asyncio
import time
from typing import Any


class Clock:
    """Where a loop expects a selector."""

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the event loop waits for something that cannot happen here")
        if timeout > 0:
            time.sleep(timeout)
        return []


class Loop(asyncio.BaseEventLoop):
    """A loop whose tasks wait for each other and for time."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = Clock()

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def install() -> None:
    asyncio.SelectorEventLoop = Loop  # type: ignore[misc, assignment]
    asyncio.new_event_loop = asyncio.events.new_event_loop = Loop  # type: ignore[assignment]
