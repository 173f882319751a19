"""Allocates the nodes and GPUs of a cluster to the instances of blocks.

The work is done by the `allocator` package; here is what AIOS sees of it: one action per kind of request.
"""

import logging
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from allocator import AllocationError, Engine, EngineOptions, Inventory, Ledger, Request
from allocator.errors import BadRequestError
from allocator.report import summarize, utilization_table

logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
logger = logging.getLogger("resource_allocator")

# How many requests this process has had, over all instances of the policy.
REQUESTS = 0


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.lock = threading.RLock()
        self.ledger = Ledger(limit=settings.get("journal_length", 50))
        self.actions = {
            "dry_run": self._dry_run,
            "allocation": self._allocate,
            "scale": self._scale,
            "third_party_allocate": self._third_party_allocate,
            "reassignment": self._reassign,
        }

    def eval(self, parameters, input_data, context):
        global REQUESTS
        REQUESTS += 1
        action = input_data.get("action")
        payload = input_data.get("payload")
        if action not in self.actions:
            raise BadRequestError("action", f"{action!r} is none of {', '.join(sorted(self.actions))}")
        if not isinstance(payload, dict):
            raise BadRequestError("payload", "it is not an object")
        with self.lock:
            engine = self._engine(parameters, payload)
            try:
                return self.actions[action](engine, payload)
            except AllocationError:
                logger.exception("%s failed", action)
                raise

    def _engine(self, parameters, payload):
        inventory = Inventory.from_documents(self._cluster(payload), payload.get("metrics") or self._live_metrics())
        return Engine(inventory, self.ledger, EngineOptions.from_parameters(parameters))

    def _cluster(self, payload):
        cluster = payload.get("cluster_data", self.settings.get("cluster_data"))
        if cluster is None:
            raise BadRequestError("cluster_data", "it is neither in the payload nor in the settings")
        return cluster

    def _live_metrics(self):
        get_metrics = self.settings.get("get_metrics")
        return get_metrics() if callable(get_metrics) else {}

    def _dry_run(self, engine, payload):
        placement = engine.place(Request.from_document(payload))
        node = engine.inventory[placement.node_id]
        return {
            "selection_score_data": {
                "score": placement.score,
                "node": placement.node_id,
                "gpus": placement.gpu_ids,
                "explanation": placement.explanation,
            },
            "node_info": node.describe(),
            "alternatives": placement.alternatives,
        }

    def _allocate(self, engine, payload):
        request = Request.from_document(payload)
        placement = engine.place(request)
        self.ledger.reserve(request, placement)
        return {"node_id": placement.node_id, "gpus": placement.gpu_ids, "lease": self.ledger.lease_id(request.owner)}

    def _scale(self, engine, payload):
        request = Request.from_document(payload)
        count = payload.get("instances_count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise BadRequestError("instances_count", "it is not a positive number")
        placements = []
        # All or none: a block that was scaled half-way would be scaled again at once by its autoscaler.
        with self.ledger.transaction():
            for each in request.replicas(count, self.ledger.next_index(request.owner)):
                placement = engine.place(each)
                self.ledger.reserve(each, placement)
                placements.append((each, placement))
        return {
            "allocations": [
                {"instance": each.owner, "node_id": placement.node_id, "gpus": placement.gpu_ids}
                for each, placement in placements
            ],
            "node_id": placements[0][1].node_id,
            "gpus": placements[0][1].gpu_ids,
        }

    def _third_party_allocate(self, engine, payload):
        request = Request.from_document(payload)
        allowed = self.parameters.get("third_party_pools", [])
        pool = payload.get("pool")
        if pool not in allowed:
            raise BadRequestError("pool", f"{pool!r} is not open to third parties")
        placement = engine.place(request.confined_to({"pool": pool}))
        self.ledger.reserve(request, placement)
        return {"node_id": placement.node_id, "gpus": placement.gpu_ids, "pool": pool}

    def _reassign(self, engine, payload):
        owner = payload.get("instance_id")
        held = self.ledger.find(owner)
        if held is None:
            raise BadRequestError("instance_id", f"{owner!r} holds nothing")
        with self.ledger.transaction():
            self.ledger.release(owner)
            placement = engine.place(held.request.avoiding(payload.get("avoid", [held.placement.node_id])))
            self.ledger.reserve(held.request, placement)
        return {
            "node_id": placement.node_id,
            "gpus": placement.gpu_ids,
            "moved_from": {"node_id": held.placement.node_id, "gpus": held.placement.gpu_ids},
        }

    def management(self, action, data):
        with self.lock:
            if action == "release":
                return {"status": "success", "released": self.ledger.release_all(data.get("owners", []))}
            if action == "ledger":
                return summarize(self.ledger)
            if action == "utilization":
                inventory = Inventory.from_documents(data.get("cluster_data", self.settings.get("cluster_data")), {})
                return {"table": utilization_table(inventory, self.ledger)}
            if action == "set_options":
                EngineOptions.from_parameters({**self.parameters, **data})
                self.parameters.update(data)
                return {"status": "success", "parameters": self.parameters}
            if action == "cordon":
                self.parameters.setdefault("cordoned", []).extend(
                    node for node in data["nodes"] if node not in self.parameters.get("cordoned", [])
                )
                return {"status": "success", "cordoned": self.parameters["cordoned"]}
            if action == "requests":
                return {"requests": REQUESTS}
        return {"status": "error", "message": f"Unknown action '{action}'"}


if __name__ == "__main__":
    node = {"id": "n1", "vcpus": {"count": 8}, "memory": 32000}
    policy = AIOSv1PolicyRule("", {"cluster_data": {"nodes": {"nodeData": [node]}}}, {})
    block = {"id": "block-1", "requirements": {"vcpus": 2}}
    print(policy.eval({}, {"action": "dry_run", "payload": {"block": block}}, None))
