"""Judges the health of a vDAG by the health of the blocks that its nodes are assigned to.

A node whose block is down takes everything behind it down, unless it is optional. How often a block failed in a row is
kept in the context, so that it outlives this instance.
"""

import logging
import os
import sys
from typing import Any, Dict, Iterator, List, Literal, Optional, Protocol, TypedDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from topology import CycleError, Graph

logger = logging.getLogger("vdag.health")

Status = Literal["healthy", "degraded", "unhealthy", "unreachable"]
SEVERITY: Dict[str, int] = {"healthy": 0, "degraded": 1, "unreachable": 2, "unhealthy": 3}


class BlockHealth(TypedDict, total=False):
    healthy: bool
    instances: List[Dict[str, Any]]
    error: str


class Verdict(TypedDict):
    node: str
    block: Optional[str]
    status: Status
    reasons: List[str]


class Rule(Protocol):
    """Something that finds fault with a block."""

    def faults(self, block: str, health: BlockHealth, streak: int) -> Iterator[str]: ...


class ErrorRule:
    def faults(self, block: str, health: BlockHealth, streak: int) -> Iterator[str]:
        if "error" in health:
            yield f"{block} did not answer: {health['error']}"


class InstanceRule:
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def faults(self, block: str, health: BlockHealth, streak: int) -> Iterator[str]:
        instances = health.get("instances", [])
        healthy = sum(1 for each in instances if each.get("healthy"))
        if instances and healthy / len(instances) < self.minimum:
            yield f"{block} has {healthy} of {len(instances)} instances"


class StreakRule:
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def faults(self, block: str, health: BlockHealth, streak: int) -> Iterator[str]:
        if streak >= self.limit:
            yield f"{block} failed {streak} times in a row"


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.last: Optional[Dict[str, Any]] = None
        self.silenced: List[str] = []

    def eval(self, parameters, input_data, context):
        mode = input_data.get("mode", "default")
        data = input_data.get("health_check_data")
        if data is None:
            raise KeyError("health_check_data")
        vdag = input_data.get("vdag", {})
        if mode == "fast_check":
            # A fast check leaves no traces: it is asked for by people, at any time.
            healthy = all(data.get(block, {}).get("healthy", False) for block in self._blocks(vdag, data))
            return {"overall_healthy": healthy}
        if mode != "default":
            raise ValueError(f"mode {mode} is neither default nor fast_check")
        graph = self._graph(vdag)
        order = graph.order()
        streaks = self._count(context, data)
        verdicts = self._judge(parameters, vdag, data, graph, order, streaks)
        overall = max((verdict["status"] for verdict in verdicts.values()), key=SEVERITY.__getitem__, default="healthy")
        result = {
            "overall_healthy": SEVERITY[overall] <= SEVERITY["degraded"],
            "status": overall,
            "nodes": [verdicts[node] for node in order],
            "paths": {sink: graph.depth(sink) for sink in graph.sinks()},
            "changed": self._changes(context, verdicts),
        }
        self.last = result
        logger.info("vDAG %s is %s", vdag.get("vdag_uri"), overall)
        return result

    def _blocks(self, vdag, data):
        assignments = vdag.get("assignment_info", {})
        return sorted({*assignments.values()} or data)

    def _graph(self, vdag):
        nodes = [node["label"] for node in vdag.get("nodes", [])]
        return Graph(nodes, vdag.get("graph", {}))

    def _count(self, context, data):
        streaks = context.setdefault("streaks", {})
        for block in sorted(data):
            if data[block].get("healthy") or block in self.silenced:
                streaks.pop(block, None)
            else:
                streaks[block] = streaks.get(block, 0) + 1
        for gone in [block for block in streaks if block not in data]:
            del streaks[gone]
        return streaks

    def _judge(self, parameters, vdag, data, graph, order, streaks):
        rules: List[Rule] = [
            ErrorRule(),
            InstanceRule(parameters.get("min_instances_fraction", 0.5)),
            StreakRule(parameters.get("max_streak", 3)),
        ]
        options = {node["label"]: node for node in vdag.get("nodes", [])}
        assignments = vdag.get("assignment_info", {})
        verdicts: Dict[str, Verdict] = {}
        for node in order:
            block = assignments.get(node)
            verdict: Verdict = {"node": node, "block": block, "status": "healthy", "reasons": []}
            if block is None:
                verdict.update(status="unhealthy", reasons=["no block is assigned"])
            elif block not in self.silenced:
                health = data.get(block, {"error": "no data"})
                for rule in rules:
                    verdict["reasons"].extend(rule.faults(block, health, streaks.get(block, 0)))
                if not health.get("healthy"):
                    verdict["status"] = "unhealthy"
                    verdict["reasons"] = verdict["reasons"] or [f"{block} is unhealthy"]
                elif verdict["reasons"]:
                    verdict["status"] = "degraded"
            if verdict["status"] == "unhealthy" and options.get(node, {}).get("optional"):
                verdict["status"] = "degraded"
            broken = [each for each in graph.parents(node) if SEVERITY[verdicts[each]["status"]] >= 2]
            if verdict["status"] != "unhealthy" and broken:
                verdict["status"] = "unreachable"
                verdict["reasons"].append(f"behind {', '.join(broken)}")
            verdicts[node] = verdict
        return verdicts

    def _changes(self, context, verdicts):
        """The nodes whose status is not that of the last check, and a note of each in the context."""
        before = context.get("statuses", {})
        now = {node: verdict["status"] for node, verdict in verdicts.items()}
        changed = [
            [node, before.get(node), status] for node, status in sorted(now.items()) if before.get(node) != status
        ]
        history = context.setdefault("history", [])
        history.extend(changed)
        del history[: -self.settings.get("history_length", 12)]
        context.update(statuses=now, checks=context.get("checks", 0) + 1)
        return changed

    def management(self, action, data):
        if action == "silence":
            self.silenced = sorted({*self.silenced, *data.get("blocks", [])})
            return {"status": "success", "silenced": self.silenced}
        if action == "unsilence":
            self.silenced = []
            return {"status": "success"}
        if action == "last":
            return {"last": self.last}
        if action == "order":
            try:
                return {"order": Graph(data["nodes"], data["graph"]).order()}
            except CycleError as error:
                return {"status": "error", "message": str(error), "cycle": error.nodes}
        return {"status": "error", "message": f"Unknown action '{action}'"}
