"""Arithmetic and look-ups that the autoscaler needs and that know nothing of scaling."""

import math


class MetricsError(Exception):
    """There are no metrics to decide by, or they make no sense."""

    def __init__(self, source, problem):
        super().__init__(f"metrics of {source}: {problem}")
        self.source = source


def clamp(value, low, high):
    return max(low, min(high, value))


def ewma(values, alpha):
    """The exponentially weighted mean of `values`, the last of which weighs most."""
    mean = None
    for value in values:
        mean = value if mean is None else alpha * value + (1 - alpha) * mean
    return mean


def slope(points):
    """The least-squares slope of (x, y) points; 0 where there is no line to draw."""
    if len(points) < 2:
        return 0.0
    mean_x = math.fsum(x for x, _ in points) / len(points)
    mean_y = math.fsum(y for _, y in points) / len(points)
    spread = math.fsum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def dig(document, path, default=None):
    """The value at a dotted path of nested dicts."""
    for part in path.split("."):
        if not isinstance(document, dict) or part not in document:
            return default
        document = document[part]
    return document


def number(metrics, name, source, low=0.0):
    value = metrics.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MetricsError(source, f"{name} is not a number")
    if value < low:
        raise MetricsError(source, f"{name} is below {low:g}")
    return value
