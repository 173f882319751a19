"""The ledger, told to people and dashboards."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import asdict
from itertools import groupby
from typing import Any

from .inventory import Inventory
from .ledger import Entry, Ledger


def summarize(ledger: Ledger) -> dict[str, Any]:
    def node_of(entry: Entry) -> str:
        return entry.placement.node_id

    # Sorting is stable: on each node, entries stay in the order of their reservation.
    by_node = {
        node: [describe(entry) for entry in entries] for node, entries in groupby(sorted(ledger, key=node_of), node_of)
    }
    counts = Counter(entry.request.owner.partition("/")[0] for entry in ledger)
    return {
        "entries": len(ledger),
        "by_node": by_node,
        "by_block": sorted(counts.items()),
        "journal": list(ledger.journal),
    }


def describe(entry: Entry) -> dict[str, Any]:
    described = {"owner": entry.request.owner, "resources": asdict(entry.request.resources)}
    if entry.placement.gpu_ids:
        described["gpus"] = entry.placement.gpu_ids
        described["gpu_percent"] = entry.request.gpu.fraction_percent
    return described


def percent(part: int, whole: int) -> str:
    return f"{100 * part // whole:d}%" if whole else "-"


def utilization_table(inventory: Inventory, ledger: Ledger) -> list[str]:
    """A table in plain text, a line per element, as the operators' console shows it."""
    stream = io.StringIO()
    print(f"{'node':<12}{'cpu':>6}{'memory':>8}{'gpus':>6}", file=stream)
    for node_id, node in inventory.items():
        used = ledger.used_on(node_id)
        taken = sum(ledger.gpu_percent(node_id, gpu.id) for gpu in node.gpus)
        cpu = percent(used.cpu_millis, node.capacity.cpu_millis)
        memory = percent(used.memory_mb, node.capacity.memory_mb)
        gpus = percent(taken, 100 * len(node.gpus))
        print(f"{node_id:<12}{cpu:>6}{memory:>8}{gpus:>6}", file=stream)
    return stream.getvalue().splitlines()
