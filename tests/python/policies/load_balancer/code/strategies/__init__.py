"""The ways to choose an instance, by name."""

from .base import NoInstanceError, Strategy, registry
from .hashing import HashRing, StickyStrategy
from .rotating import LeastLoadedStrategy, RandomStrategy, RoundRobinStrategy, WeightedStrategy

__all__ = [
    "HashRing",
    "LeastLoadedStrategy",
    "NoInstanceError",
    "RandomStrategy",
    "RoundRobinStrategy",
    "StickyStrategy",
    "Strategy",
    "WeightedStrategy",
    "create",
]


def create(name, parameters):
    try:
        chosen = registry[name]
    except KeyError:
        raise ValueError(f"no strategy is called {name!r}; there are {', '.join(sorted(registry))}") from None
    return chosen(parameters)
