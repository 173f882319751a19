"""What rules a node out. Each constraint says why it does, or None; they are asked in the order of their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from .gpus import choose_gpus

if TYPE_CHECKING:
    from .inventory import Node
    from .ledger import Ledger
    from .models import Request

Constraint = Callable[["Request", "Node", "Ledger"], Optional[str]]
CONSTRAINTS: dict[str, Constraint] = {}


def constraint(function: Constraint) -> Constraint:
    CONSTRAINTS[function.__name__] = function
    return function


@constraint
def readiness(request, node, ledger):
    return None if node.ready else "not ready"


@constraint
def avoidance(request, node, ledger):
    return "to be avoided" if node.id in request.avoid else None


@constraint
def selector(request, node, ledger):
    for key, value in request.labels:
        if node.labels.get(key) != value:
            return f"{key} is not {value}"
    return None


@constraint
def taints(request, node, ledger):
    for taint in node.taints:
        if not any(toleration.covers(taint) for toleration in request.tolerations):
            return f"tainted with {taint[0]}"
    return None


@constraint
def separation(request, node, ledger):
    neighbours = ledger.owners_on(node.id)
    for other in request.apart_from:
        if any(owner == other or owner.startswith(f"{other}/") for owner in neighbours):
            return f"{other} is there"
    return None


@constraint
def room(request, node, ledger):
    lacking = request.resources.lacking(ledger.free_on(node))
    return f"too little {', '.join(lacking)}" if lacking else None


@constraint
def gpus(request, node, ledger):
    if request.gpu.count and choose_gpus(request.gpu, node, ledger) is None:
        return "no fitting GPUs"
    return None


def first_objection(request: Request, node: Node, ledger: Ledger, without: list[str]) -> str | None:
    for name, check in CONSTRAINTS.items():
        if name not in without and (objection := check(request, node, ledger)):
            return objection
    return None
