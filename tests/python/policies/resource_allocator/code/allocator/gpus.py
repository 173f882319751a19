"""The choice of GPUs on one node."""

from __future__ import annotations

import itertools
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING

from .models import Gpu, GpuNeed, Trait

if TYPE_CHECKING:
    from .inventory import Node
    from .ledger import Ledger


def suits(gpu: Gpu, need: GpuNeed) -> bool:
    if need.models and gpu.model not in need.models:
        return False
    if need.traits not in gpu.traits:
        return False
    if need.shared and Trait.SHAREABLE not in gpu.traits:
        return False
    # Whoever gets a part of a GPU gets the same part of its memory.
    return gpu.memory_mb * need.fraction_percent >= need.memory_mb * 100


def choose_gpus(need: GpuNeed, node: Node, ledger: Ledger) -> list[str] | None:
    """The ids of the GPUs to give, or None where the node has none that fit."""
    if need.count == 0:
        return []
    free = {gpu.id: 100 - ledger.gpu_percent(node.id, gpu.id) for gpu in node.gpus}
    usable = [gpu for gpu in node.gpus if suits(gpu, need) and free[gpu.id] >= need.fraction_percent]
    if need.shared:
        # The fullest that still fits, so that whole GPUs stay whole.
        fullest = min(usable, key=lambda gpu: (free[gpu.id], gpu.id), default=None)
        return None if fullest is None else [fullest.id]
    if len(usable) < need.count:
        return None
    if Trait.NVLINK in need.traits and need.count > 1:
        return _within_one_island(need, usable)
    # The smallest that will do: the large ones are for those who need them.
    usable.sort(key=attrgetter("memory_mb", "id"))
    return [gpu.id for gpu in usable[: need.count]]


def _within_one_island(need: GpuNeed, usable: list[Gpu]) -> list[str] | None:
    islands = defaultdict(list)
    for gpu in usable:
        islands[gpu.island].append(gpu)
    fitting = [gpus for _, gpus in sorted(islands.items()) if len(gpus) >= need.count]
    if not fitting:
        return None
    smallest = min(fitting, key=len)
    best = min(
        itertools.combinations(sorted(smallest, key=attrgetter("id")), need.count),
        key=lambda gpus: (sum(gpu.memory_mb for gpu in gpus), [gpu.id for gpu in gpus]),
    )
    return [gpu.id for gpu in best]
