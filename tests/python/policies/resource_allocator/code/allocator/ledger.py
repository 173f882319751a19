"""Who holds what. The ledger outlives the inventories, which are made anew of each request's documents."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Iterable, Iterator

from .errors import DoubleBookingError
from .inventory import Node
from .models import Placement, Request, Resources

LEASES = uuid.uuid5(uuid.NAMESPACE_DNS, "leases.allocator.example")


@dataclass(frozen=True)
class Entry:
    request: Request
    placement: Placement


class Ledger:
    def __init__(self, limit: int = 50) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._highest: Counter[str] = Counter()
        self.journal: deque[str] = deque(maxlen=limit)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, owner: str | None) -> Entry | None:
        return self._entries.get(owner)

    def reserve(self, request: Request, placement: Placement) -> None:
        if request.owner in self._entries:
            raise DoubleBookingError(request.owner)
        self._entries[request.owner] = Entry(request, placement)
        base, slash, index = request.owner.rpartition("/")
        if slash and index.isdigit():
            self._highest[base] = max(self._highest[base], int(index) + 1)
        self.journal.append(f"+ {request.owner} {placement.node_id}")

    def release(self, owner: str) -> None:
        entry = self._entries.pop(owner)
        self.journal.append(f"- {owner} {entry.placement.node_id}")

    def release_all(self, owners: Iterable[str]) -> list[str]:
        """Releases those of `owners` that hold something, replicas included."""
        released = []
        for wanted in owners:
            held = [owner for owner in self._entries if owner == wanted or owner.startswith(f"{wanted}/")]
            for owner in held:
                self.release(owner)
                released.append(owner)
        return released

    def next_index(self, owner: str) -> int:
        """An index that no replica ever had: old ones may still be shutting down."""
        return self._highest[owner]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Takes everything back if the body raises."""
        before = self._entries.copy(), self._highest.copy(), self.journal.copy()
        try:
            yield
        except BaseException:
            self._entries, self._highest, self.journal = before
            raise

    def entries_on(self, node_id: str) -> list[Entry]:
        return [entry for entry in self if entry.placement.node_id == node_id]

    def owners_on(self, node_id: str) -> list[str]:
        return [entry.request.owner for entry in self.entries_on(node_id)]

    def used_on(self, node_id: str) -> Resources:
        return reduce(add, (entry.request.resources for entry in self.entries_on(node_id)), Resources())

    def free_on(self, node: Node) -> Resources:
        return node.capacity - node.used_elsewhere - self.used_on(node.id)

    def gpu_percent(self, node_id: str, gpu_id: str) -> int:
        return sum(
            entry.request.gpu.fraction_percent
            for entry in self.entries_on(node_id)
            if gpu_id in entry.placement.gpu_ids
        )

    @staticmethod
    def lease_id(owner: str) -> str:
        return str(uuid.uuid5(LEASES, owner))
