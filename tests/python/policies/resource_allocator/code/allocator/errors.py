"""What can go wrong. Callers tell the cases apart by class, and people by message."""


class AllocationError(Exception):
    """Anything that keeps a request from being served."""


class BadRequestError(AllocationError):
    def __init__(self, field, problem):
        super().__init__(f"{field}: {problem}")
        self.field = field


class NoRoomError(AllocationError):
    """No node can take the request; `reasons` says for each why not."""

    SHOWN = 4

    def __init__(self, owner, reasons):
        shown = [f"{node}: {reason}" for node, reason in sorted(reasons.items())]
        more = len(shown) - self.SHOWN
        text = "; ".join(shown[: self.SHOWN]) + (f"; and {more} more" if more > 0 else "")
        super().__init__(f"no node can take {owner}" + (f" ({text})" if text else ""))
        self.reasons = reasons


class DoubleBookingError(AllocationError):
    def __init__(self, owner):
        super().__init__(f"{owner} holds resources already")
