"""Placement of instances on nodes, and the ledger of what was placed.

- `models`: what there is and what is asked for;
- `inventory`: the nodes of a cluster and what is free on them;
- `constraints`: what a node must be like to be considered at all;
- `scoring`: which of the nodes considered is best;
- `gpus`: which GPUs of the node;
- `ledger`: who holds what;
- `engine`: all of it together.
"""

from .engine import Engine, EngineOptions
from .errors import AllocationError, BadRequestError, NoRoomError
from .inventory import Inventory
from .ledger import Ledger
from .models import Placement, Request, Resources

__all__ = [
    "AllocationError",
    "BadRequestError",
    "Engine",
    "EngineOptions",
    "Inventory",
    "Ledger",
    "NoRoomError",
    "Placement",
    "Request",
    "Resources",
]
