"""What a scorer is, and what it gets to see."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from ..inventory import Inventory, Node
from ..ledger import Ledger
from ..models import Request, Spread


class Situation(NamedTuple):
    request: Request
    node: Node
    inventory: Inventory
    ledger: Ledger
    strategy: Spread


class Score(NamedTuple):
    node_id: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        return round(math.fsum(self.parts.values()), 6)


class Scorer(ABC):
    """Gives a node between 0 and 1; how much that counts is the options' business."""

    name: ClassVar[str]

    @abstractmethod
    def score(self, situation: Situation) -> float:
        raise NotImplementedError

    def __call__(self, situation: Situation) -> float:
        return min(1.0, max(0.0, self.score(situation)))
