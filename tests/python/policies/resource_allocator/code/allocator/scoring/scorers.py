"""The scorers."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

from ..gpus import choose_gpus
from ..models import Spread
from .base import Scorer, Situation


class UsageScorer(Scorer):
    """How full the node would be: packing wants it full, spreading wants it empty, balance wants it even."""

    name = "usage"

    def score(self, situation: Situation) -> float:
        node = situation.node
        left = situation.ledger.free_on(node) - situation.request.resources
        parts = [1 - Fraction(rest, whole) for rest, whole in zip(left, node.capacity) if whole]
        if not parts:
            return 0.0
        mean = sum(parts, Fraction()) / len(parts)
        if situation.strategy is Spread.PACK:
            return float(mean)
        if situation.strategy is Spread.SPREAD:
            return float(1 - mean)
        return float(1 - (max(parts) - min(parts)))


class GpuWasteScorer(Scorer):
    """How little of the GPUs given would lie idle. Nodes with GPUs are kept for those who need them."""

    name = "gpu_waste"

    def score(self, situation: Situation) -> float:
        need = situation.request.gpu
        if not need.count:
            return 0.0 if situation.node.gpus else 1.0
        chosen = choose_gpus(need, situation.node, situation.ledger) or []
        memory = sum(gpu.memory_mb for gpu in situation.node.gpus if gpu.id in chosen)
        if not memory:
            return 0.5
        return need.memory_mb * len(chosen) / (memory * need.fraction_percent / 100)


class AffinityScorer(Scorer):
    """Whether those whom the request wants to be near are on the node, or at least in its zone."""

    name = "affinity"

    def score(self, situation: Situation) -> float:
        wanted = situation.request.near
        if not wanted:
            return 0.0
        points = 0.0
        for owner in wanted:
            entry = situation.ledger.find(owner)
            if entry is None:
                continue
            if entry.placement.node_id == situation.node.id:
                points += 1.0
            elif (home := situation.inventory.get(entry.placement.node_id)) and home.zone == situation.node.zone:
                points += 0.5
        return points / len(wanted)


class ZoneScorer(Scorer):
    """Prefers the zone with the fewest of the block's own replicas."""

    name = "zone"

    def score(self, situation: Situation) -> float:
        block = situation.request.owner.partition("/")[0]
        counts = dict.fromkeys(situation.inventory.zones, 0)
        for entry in situation.ledger:
            if entry.request.owner.partition("/")[0] != block:
                continue
            if node := situation.inventory.get(entry.placement.node_id):
                counts[node.zone] += 1
        most = max(counts.values())
        return 1.0 - counts[situation.node.zone] / most if most else 1.0


class StabilityScorer(Scorer):
    """A small preference, different for each pair of block and node and always the same, to break ties evenly."""

    name = "stability"

    def score(self, situation: Situation) -> float:
        text = f"{situation.request.owner}@{situation.node.id}"
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=4).digest()
        return round(math.sqrt(int.from_bytes(digest, "big") / 0xFFFFFFFF), 6)
