"""Measures of how good an output is."""

from .measures import Agreement, Completeness, Confidence, Latency, Measure, Repetition
from .report import Report

ALL = (Completeness, Confidence, Latency, Repetition, Agreement)

__all__ = ["ALL", "Agreement", "Completeness", "Confidence", "Latency", "Measure", "Repetition", "Report"]
