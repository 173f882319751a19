"""Decides whether a node may leave the cluster: what runs on it must find room on the nodes that stay.

The decision is whole: either everything can be moved, and the answer says where to, or the node stays.
"""

import heapq
import logging
from collections import ChainMap, deque
from fractions import Fraction
from itertools import chain, groupby, islice
from operator import itemgetter
from types import SimpleNamespace

logging.basicConfig(level=logging.ERROR)
logger = logging.getLogger("remove_node")


class UnknownNodeError(KeyError):
    def __str__(self):
        return f"node {self.args[0]} is not in the cluster"


class ProtectedError(Exception):
    """Something on the node must not be moved at all."""


def as_node(document, metrics):
    measured = metrics.get(document["id"], {})
    view = ChainMap(measured, document)
    return SimpleNamespace(
        id=document["id"],
        role=document.get("role", "worker"),
        memory=view.get("memory", 0),
        free=view.get("free_memory", view.get("memory", 0)),
        zone=document.get("zone", ""),
    )


def chunks(items, size):
    """Runs of at most `size` items: moves are made in batches, one after another."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.query_blocks = settings.get("query_blocks")
        self.recent = deque(maxlen=4)

    def eval(self, parameters, input_data, context):
        node_id = input_data.get("node_id")
        if not node_id:
            raise ValueError("node_id is missing")
        metrics = input_data.get("cluster_metrics", {})
        nodes = [as_node(each, metrics) for each in input_data.get("cluster_data", {}).get("nodes", [])]
        leaving = next((node for node in nodes if node.id == node_id), None)
        if leaving is None:
            raise UnknownNodeError(node_id)
        staying = [node for node in nodes if node.id != node_id]
        instances = list(self._instances(node_id, input_data))
        reason = next(self._objections(parameters, leaving, staying, instances), None)
        if reason is None:
            moves, homeless = self._plan(parameters, leaving, staying, instances)
            if homeless:
                reason = f"no room for {', '.join(homeless)}"
        if reason is not None:
            logger.error("%s stays: %s", node_id, reason)
            return {"allowed": False, "input_data": node_id, "reason": reason}
        self.recent.append(node_id)
        print(f"{node_id} may leave, {len(moves)} instances move")
        return {
            "allowed": True,
            "input_data": node_id,
            "batches": list(chunks(moves, parameters.get("batch", 2))),
            "recently_removed": list(self.recent),
        }

    def _instances(self, node_id, input_data):
        """The instances on the node, of the caller's list and, where one can ask, of the cluster's database."""
        found = input_data.get("block_instances", [])
        if callable(self.query_blocks):
            found = chain(found, self.query_blocks({"node_id": node_id}))
        for instance in found:
            if instance.get("node_id") == node_id:
                yield instance

    def _objections(self, parameters, leaving, staying, instances):
        if leaving.role in parameters.get("protected_roles", ["control-plane"]):
            yield f"a {leaving.role} node stays"
        if len(staying) < parameters.get("min_nodes", 1):
            yield f"{len(staying)} nodes would be too few"
        pinned = [instance["id"] for instance in instances if instance.get("pinned")]
        if pinned and parameters.get("fail_on_pinned"):
            raise ProtectedError(f"pinned: {', '.join(sorted(pinned))}")
        if pinned:
            yield f"{len(pinned)} instances are pinned"
        key = itemgetter("block_id")
        for block, group in groupby(sorted(instances, key=key), key):
            count = len(list(group))
            if count > parameters.get("max_unavailable", 3):
                yield f"block {block} would lose {count} instances at once"
        total = sum(node.memory for node in staying)
        used = total - sum(node.free for node in staying) + sum(each.get("memory", 0) for each in instances)
        limit = Fraction(str(parameters.get("max_usage", "0.9")))
        if total and Fraction(used, total) > limit:
            yield f"memory would be used to {Fraction(used, total)}, and {limit} is the limit"

    def _plan(self, parameters, leaving, staying, instances):
        """Largest first, each to the node with the most room, preferring the zone that it was in."""
        bonus = parameters.get("zone_bonus", 0)
        heaps = {
            True: [(-node.free, node.id) for node in staying if node.zone == leaving.zone],
            False: [(-node.free, node.id) for node in staying if node.zone != leaving.zone],
        }
        for heap in heaps.values():
            heapq.heapify(heap)
        moves, homeless = [], []
        for instance in sorted(instances, key=lambda each: (-each.get("memory", 0), each["id"])):
            needed = instance.get("memory", 0)
            offers = [
                (-heap[0][0] + (bonus if same_zone else 0), same_zone)
                for same_zone, heap in heaps.items()
                if heap and -heap[0][0] >= needed
            ]
            if not offers:
                homeless.append(instance["id"])
                continue
            heap = heaps[max(offers)[1]]
            negative_free, target = heap[0]
            heapq.heapreplace(heap, (negative_free + needed, target))
            moves.append({"instance": instance["id"], "to": target})
        return moves, homeless
