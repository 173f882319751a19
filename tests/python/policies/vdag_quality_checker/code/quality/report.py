"""What is told of many frames."""

import statistics
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Dict, Generic, List, TypeVar

Value = TypeVar("Value")


class Window(Generic[Value]):
    """The last few values."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: List[Value] = []

    def push(self, value: Value) -> None:
        self.values.append(value)
        if len(self.values) > self.size:
            self.values.pop(0)


@dataclass
class Report:
    size: int
    windows: Dict[str, Window[Fraction]] = field(default_factory=dict)

    def add(self, scores: Dict[str, Fraction]) -> None:
        for name, score in scores.items():
            self.windows.setdefault(name, Window(self.size)).push(score)

    def summary(self) -> Dict[str, Dict[str, object]]:
        return {name: self._describe(window.values) for name, window in sorted(self.windows.items())}

    def _describe(self, values: List[Fraction]) -> Dict[str, object]:
        lowest = min(values)
        return {
            "count": len(values),
            "mean": round(float(statistics.mean(values)), 4),
            "median": round(float(statistics.median(values)), 4),
            "deviation": round(float(statistics.pstdev(map(float, values))), 4),
            "lowest": f"{lowest.numerator}/{lowest.denominator}",
        }
