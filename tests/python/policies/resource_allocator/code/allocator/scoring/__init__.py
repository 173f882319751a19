"""Scores of the nodes that a request fits on."""

from .base import Score, Scorer, Situation
from .scorers import AffinityScorer, GpuWasteScorer, StabilityScorer, UsageScorer, ZoneScorer

DEFAULT_SCORERS = (UsageScorer, GpuWasteScorer, AffinityScorer, ZoneScorer, StabilityScorer)

__all__ = [
    "AffinityScorer",
    "DEFAULT_SCORERS",
    "GpuWasteScorer",
    "Score",
    "Scorer",
    "Situation",
    "StabilityScorer",
    "UsageScorer",
    "ZoneScorer",
]
