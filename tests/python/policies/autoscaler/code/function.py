"""Scales a block by its queue, its utilisation and the trend of both.

Decides on a smoothed load, holds still for a while after every change, and asks for several readings in a row before it
takes instances away: starting one is cheap, and stopping one in the middle of a burst is not.
"""

import logging
import math
import os
import statistics
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from enum import Enum

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import helpers
from helpers import MetricsError, clamp, ewma

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("autoscaler")

EVALUATIONS = 0


class Direction(Enum):
    UP = "upscale"
    DOWN = "downscale"
    HOLD = "hold"


@dataclass(frozen=True)
class Limits:
    min_instances: int = 1
    max_instances: int = 8
    target_queue: float = 20.0
    high_utilization: float = 0.8
    low_utilization: float = 0.3
    max_step: int = 3

    @classmethod
    def from_parameters(cls, parameters):
        known = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        limits = cls(**known)
        if limits.min_instances > limits.max_instances:
            raise ValueError("min_instances exceeds max_instances")
        if limits.low_utilization >= limits.high_utilization:
            raise ValueError("low_utilization must be below high_utilization")
        return limits


@dataclass
class Sample:
    at: float
    queue: float
    utilization: float
    instances: int


@dataclass
class Memory:
    samples: deque = field(default_factory=deque)
    last_change_at: float = -math.inf
    quiet_readings: int = 0
    decisions: dict = field(default_factory=lambda: {direction.value: 0 for direction in Direction})


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.interval = settings.get("intervalSeconds", 30)
        self.cooldown = settings.get("cooldown_seconds", 60)
        self.quiet_needed = settings.get("quiet_readings", 2)
        self.memory = Memory(samples=deque(maxlen=settings.get("window", 6)))
        self.ticks = 0

    def eval(self, parameters, input_data, context):
        global EVALUATIONS
        started = time.time()
        EVALUATIONS += 1
        self.ticks += 1
        limits = Limits.from_parameters(parameters)
        instances = self._instances(input_data)
        sample = self._sample(input_data, len(instances))
        self.memory.samples.append(sample)
        direction, count, reason = self._decide(limits, sample)
        self.memory.decisions[direction.value] += 1
        logger.info("decided %s in %.6f s", direction.value, time.time() - started)
        if direction is Direction.HOLD:
            return {"skip": True, "reason": reason}
        self.memory.last_change_at = sample.at
        self.memory.quiet_readings = 0
        if direction is Direction.UP:
            return {
                "skip": False,
                "operation": direction.value,
                "instances_count": count,
                "allocation_data": {"spread": parameters.get("spread", "nodes")},
                "reason": reason,
            }
        # The newest instances go first: they have the least cached.
        return {
            "skip": False,
            "operation": direction.value,
            "instances_list": instances[-count:],
            "reason": reason,
        }

    def _instances(self, input_data):
        try:
            instances = input_data["current_instances"]
        except KeyError:
            raise ValueError("current_instances is missing") from None
        if not isinstance(instances, list):
            raise ValueError("current_instances is not a list")
        return [instance for instance in instances if instance != "executor"]

    def _metrics(self, input_data):
        get_metrics = self.settings.get("get_metrics")
        if callable(get_metrics):
            return get_metrics(), "the callable"
        for source in ("block_data", "cluster_data"):
            metrics = helpers.dig(input_data, f"{source}.metrics")
            if metrics:
                return metrics, source
        raise MetricsError("block_data and cluster_data", "there are none")

    def _sample(self, input_data, instances):
        metrics, source = self._metrics(input_data)
        return Sample(
            at=input_data.get("now", self.ticks * self.interval),
            queue=helpers.number(metrics, "queue_length", source),
            utilization=helpers.number(metrics, "utilization", source),
            instances=instances,
        )

    def _decide(self, limits, sample):
        if sample.instances < limits.min_instances:
            return Direction.UP, limits.min_instances - sample.instances, "below the minimum"
        if sample.instances > limits.max_instances:
            return Direction.DOWN, sample.instances - limits.max_instances, "above the maximum"
        if sample.at - self.memory.last_change_at < self.cooldown:
            return Direction.HOLD, 0, "cooling down"
        wanted = self._wanted(limits, sample)
        if wanted > sample.instances:
            count = min(wanted - sample.instances, limits.max_step)
            return Direction.UP, count, f"load asks for {wanted}"
        if wanted < sample.instances:
            self.memory.quiet_readings += 1
            if self.memory.quiet_readings < self.quiet_needed:
                return Direction.HOLD, 0, "quiet, but not for long enough"
            return Direction.DOWN, 1, f"load asks for {wanted}"
        self.memory.quiet_readings = 0
        return Direction.HOLD, 0, "load matches"

    def _wanted(self, limits, sample):
        samples = self.memory.samples
        queue = ewma((each.queue for each in samples), 0.5)
        utilization = statistics.fmean(each.utilization for each in samples)
        by_queue = math.ceil(queue / limits.target_queue)
        if utilization > limits.high_utilization:
            by_utilization = sample.instances + 1
        elif utilization < limits.low_utilization:
            by_utilization = sample.instances - 1
        else:
            by_utilization = sample.instances
        wanted = max(by_queue, by_utilization)
        # A queue that grows by a whole instance's worth each interval will be there before the new instance is.
        growth = helpers.slope([(each.at, each.queue) for each in samples]) * self.interval
        if growth > limits.target_queue:
            wanted += 1
        return clamp(wanted, limits.min_instances, limits.max_instances)

    def management(self, action, data):
        match action:
            case "set_limits":
                merged = {**self.parameters, **data}
                limits = Limits.from_parameters(merged)
                self.parameters.update(data)
                return {"status": "success", "limits": asdict(limits)}
            case "get_state":
                return {
                    "samples": [asdict(sample) for sample in self.memory.samples],
                    "decisions": self.memory.decisions,
                    "quiet_readings": self.memory.quiet_readings,
                    "evaluations": EVALUATIONS,
                }
            case "reset":
                self.memory = Memory(samples=deque(maxlen=self.memory.samples.maxlen))
                return {"status": "success"}
            case _:
                return {"status": "error", "message": f"Unknown action '{action}'"}


if __name__ == "__main__":
    policy = AIOSv1PolicyRule("", {}, {})
    print(policy.eval({}, {"block_data": {"metrics": {"queue_length": 90}}, "current_instances": ["in-1"]}, None))
