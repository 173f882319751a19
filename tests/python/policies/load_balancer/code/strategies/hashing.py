"""The strategy that keeps a session where it was."""

import bisect
import hashlib
from functools import lru_cache

from .base import NoInstanceError, Strategy


class HashRing:
    """Consistent hashing: taking an instance away moves only the keys that were its own."""

    def __init__(self, instances, points=32):
        self._ring = sorted(
            (self.position(f"{instance}#{point}"), instance) for instance in instances for point in range(points)
        )
        self._positions = [position for position, _ in self._ring]

    @staticmethod
    @lru_cache(maxsize=4096)
    def position(key):
        return int.from_bytes(hashlib.sha256(key.encode("utf-8")).digest()[:8], "big")

    def __getitem__(self, key):
        if not self._ring:
            raise NoInstanceError("the ring is empty")
        index = bisect.bisect(self._positions, self.position(key)) % len(self._ring)
        return self._ring[index][1]


class StickyStrategy(Strategy):
    name = "sticky"

    def choose(self, packet, instances, loads):
        return HashRing(instances)[str(packet.get("session_id", ""))]
