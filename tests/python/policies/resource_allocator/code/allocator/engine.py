"""Puts constraints, scorers and the ledger together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Mapping

from .constraints import CONSTRAINTS, first_objection
from .errors import BadRequestError, NoRoomError
from .gpus import choose_gpus
from .inventory import Inventory
from .ledger import Ledger
from .models import Placement, Request, Spread
from .scoring import DEFAULT_SCORERS, Score, Situation

logger = logging.getLogger(__name__)

DEFAULT_WEIGHTS = {"usage": 10.0, "gpu_waste": 5.0, "affinity": 8.0, "zone": 4.0, "stability": 0.01}


@dataclass(frozen=True)
class EngineOptions:
    strategy: Spread = Spread.BALANCED
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    cordoned: frozenset[str] = frozenset()
    ignored_constraints: list[str] = field(default_factory=list)
    alternatives: int = 2

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> EngineOptions:
        weights = dict(DEFAULT_WEIGHTS)
        for name, weight in parameters.get("weights", {}).items():
            if name not in weights:
                raise BadRequestError("weights", f"nothing is scored by {name!r}")
            weights[name] = float(weight)
        ignored = parameters.get("ignore_constraints", [])
        for name in ignored:
            if name not in CONSTRAINTS:
                raise BadRequestError("ignore_constraints", f"{name!r} is no constraint")
        return cls(
            strategy=Spread.parse(parameters.get("strategy", "balanced")),
            weights=weights,
            cordoned=frozenset(parameters.get("cordoned", [])),
            ignored_constraints=ignored,
            alternatives=parameters.get("alternatives", 2),
        )


class Engine:
    def __init__(self, inventory: Inventory, ledger: Ledger, options: EngineOptions) -> None:
        self.inventory = inventory
        self.ledger = ledger
        self.options = options
        self.scorers = [kind() for kind in DEFAULT_SCORERS if options.weights[kind.name]]

    def place(self, request: Request) -> Placement:
        """Where to put the request. Nothing is reserved yet."""
        scores: list[Score] = []
        objections: dict[str, str] = {}
        for node_id, node in self.inventory.items():
            if node_id in self.options.cordoned:
                objections[node_id] = "cordoned"
            elif why := first_objection(request, node, self.ledger, self.options.ignored_constraints):
                objections[node_id] = why
            else:
                scores.append(self._score(request, node_id))
        if not scores:
            raise NoRoomError(request.owner, objections)
        scores.sort(key=lambda score: (-score.total, score.node_id))
        best, *others = scores
        gpus = choose_gpus(request.gpu, self.inventory[best.node_id], self.ledger)
        logger.info("%s goes to %s of %d", request.owner, best.node_id, len(scores))
        return Placement(
            node_id=best.node_id,
            gpu_ids=gpus or [],
            score=best.total,
            explanation={name: round(points, 4) for name, points in best.parts.items()},
            alternatives=[score.node_id for score in others[: self.options.alternatives]],
        )

    def _score(self, request: Request, node_id: str) -> Score:
        situation = Situation(request, self.inventory[node_id], self.inventory, self.ledger, self.options.strategy)
        parts = {scorer.name: self.options.weights[scorer.name] * scorer(situation) for scorer in self.scorers}
        return Score(node_id, parts)
