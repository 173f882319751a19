"""One class per measure; a score is a fraction between 0 and 1."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections import Counter
from fractions import Fraction
from typing import Any, ClassVar

WORD = re.compile(r"[a-z0-9']+")


class Measure(ABC):
    name: ClassVar[str]

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def score(self, frame: dict[str, Any]) -> Fraction | None:
        """None where the frame has nothing to measure."""


class Completeness(Measure):
    name = "completeness"

    def score(self, frame):
        required = self.options.get("required", [])
        if not required:
            return None
        output = frame.get("output", {})
        return Fraction(sum(1 for key in required if output.get(key) not in (None, "", [])), len(required))


class Confidence(Measure):
    name = "confidence"

    def score(self, frame):
        scores = [each.get("score", 0) for each in frame.get("output", {}).get("detections", [])]
        if not scores:
            return None
        exact = [Fraction(str(score)) for score in scores]
        return sum(exact, Fraction()) / len(exact)


class Latency(Measure):
    name = "latency"

    def score(self, frame):
        taken = frame.get("latency_ms")
        if taken is None:
            return None
        if taken < 0:
            raise ValueError("a latency cannot be negative")
        target = self.options.get("target_ms", 100)
        return min(Fraction(1), Fraction(target, taken) if taken else Fraction(1))


class Repetition(Measure):
    """Models that have lost their way say the same few words again and again."""

    name = "repetition"

    def score(self, frame):
        words = WORD.findall(frame.get("output", {}).get("text", "").lower())
        if len(words) < 4:
            return None
        pairs = Counter(zip(words, words[1:]))
        return Fraction(len(pairs), pairs.total())


class Agreement(Measure):
    """How much the text is like the one that is known to be right."""

    name = "agreement"

    def score(self, frame):
        expected = frame.get("expected")
        if expected is None:
            return None
        given = WORD.findall(frame.get("output", {}).get("text", "").lower())
        matcher = difflib.SequenceMatcher(None, WORD.findall(expected.lower()), given)
        same = sum(block.size for block in matcher.get_matching_blocks())
        return Fraction(2 * same, max(1, len(matcher.a) + len(matcher.b)))
