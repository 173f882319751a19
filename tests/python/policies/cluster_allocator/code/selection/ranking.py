"""Orders the clusters that could take a block."""

import heapq
import math
from dataclasses import dataclass, field
from typing import Any, Dict, Generic, Iterable, List, NamedTuple, TypeVar


class Term(NamedTuple):
    name: str
    weight: float
    value: float

    @property
    def points(self) -> float:
        return self.weight * self.value


@dataclass(order=True, frozen=True)
class Candidate:
    sort_key: tuple = field(init=False, repr=False)
    id: str = field(compare=False)
    terms: List[Term] = field(compare=False, default_factory=list)
    entry: Dict[str, Any] = field(compare=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Equal scores go by id, so that the order does not depend on that of the clusters given.
        object.__setattr__(self, "sort_key", (-self.score, self.id))

    @property
    def score(self) -> float:
        return round(math.fsum(term.points for term in self.terms), 6)

    def explain(self) -> Dict[str, float]:
        return {term.name: round(term.points, 4) for term in self.terms}


Item = TypeVar("Item", bound=Candidate)


class Ranking(Generic[Item]):
    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._heap: List[Item] = list(items)
        heapq.heapify(self._heap)

    def push(self, item: Item) -> None:
        heapq.heappush(self._heap, item)

    def top(self, count: int) -> List[Item]:
        return heapq.nsmallest(count, self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)


def best_of(candidates: Iterable[Candidate]) -> Candidate:
    ranking = Ranking(candidates)
    if not ranking:
        raise LookupError("there is no candidate")
    return ranking.top(1)[0]
