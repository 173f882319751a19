"""Strategies that spread packets whatever is in them."""

import heapq
import itertools
import random

from .base import Strategy


class RoundRobinStrategy(Strategy):
    name = "round_robin"

    def __init__(self, parameters):
        super().__init__(parameters)
        self.turn = itertools.count()

    def choose(self, packet, instances, loads):
        return instances[next(self.turn) % len(instances)]


class WeightedStrategy(Strategy):
    """Smooth weighted rotation: an instance's credit grows by its weight, and the one chosen pays the whole."""

    name = "weighted"

    def __init__(self, parameters):
        super().__init__(parameters)
        self.credit = {}

    def choose(self, packet, instances, loads):
        weights = self.parameters.get("weights", {})
        total = 0
        for instance in instances:
            weight = weights.get(instance, 1)
            total += weight
            self.credit[instance] = self.credit.get(instance, 0) + weight
        best = max(instances, key=lambda instance: self.credit[instance])
        self.credit[best] -= total
        return best

    def forget(self, instance):
        self.credit.pop(instance, None)


class LeastLoadedStrategy(Strategy):
    name = "least_loaded"

    def choose(self, packet, instances, loads):
        heap = [(loads.get(instance, 0), position, instance) for position, instance in enumerate(instances)]
        heapq.heapify(heap)
        return heapq.heappop(heap)[2]


class RandomStrategy(Strategy):
    """The less loaded of two drawn at random. The seed is a parameter, so that a replay draws the same."""

    name = "random"

    def __init__(self, parameters):
        super().__init__(parameters)
        self.random = random.Random(parameters.get("seed", 0))

    def choose(self, packet, instances, loads):
        if len(instances) == 1:
            return instances[0]
        drawn = self.random.sample(instances, 2)
        return min(drawn, key=lambda instance: loads.get(instance, 0))
