"""Decides whether a node may join the cluster, and completes what it says of itself."""

import copy
import logging
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules
from rules import Candidate, NodeRefused

logger = logging.getLogger("add_node")


class ProfileError(LookupError):
    pass


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.profiles = rules.read_profiles(settings.get("profiles", ""))
        self.admitted = []
        self.refused = {}
        self.started = time.time()

    def eval(self, parameters, input_data, context):
        if "node_data" not in input_data:
            raise ValueError("node_data is missing")
        candidate = Candidate(
            # The caller's document stays as it is when the node is refused half-way.
            node=copy.deepcopy(input_data["node_data"]),
            cluster=input_data.get("cluster_data", {}),
            metrics=input_data.get("cluster_metrics", {}),
        )
        skipped = parameters.get("skip_rules", [])
        for name, check, wanted in rules.RULES:
            if name in skipped:
                continue
            arguments = {key: parameters.get(key, default) for key, default in wanted}
            try:
                check(candidate, **arguments)
            except NodeRefused as refusal:
                return self._refuse(candidate, name, refusal)
        self._apply_profile(candidate)
        self.admitted.append(candidate.node["id"])
        logger.info("%s was admitted, %.3f s after the start", candidate.node["id"], time.time() - self.started)
        return {"allowed": True, "input_data": candidate.node, "changes": candidate.changes}

    def _refuse(self, candidate, name, refusal):
        self.refused[name] = self.refused.get(name, 0) + 1
        message = f"{refusal} (expected {refusal.hint})" if refusal.hint else str(refusal)
        logger.warning("refused by %s: %s", name, message)
        return {"allowed": False, "input_data": message, "rule": name}

    def _apply_profile(self, candidate):
        wanted = candidate.node.get("profile")
        if wanted is None:
            return
        if wanted not in self.profiles:
            raise ProfileError(f"there is no profile {wanted}")
        profile = self.profiles[wanted]
        gpus = len(candidate.node.get("gpus", []))
        if gpus < profile["min_gpus"]:
            raise ProfileError(f"profile {wanted} needs {profile['min_gpus']} GPUs and there are {gpus}")
        candidate.set("labels", {**profile["labels"], **candidate.node.get("labels", {})})
        candidate.set("schedulable", profile["schedulable"])

    def management(self, action, data):
        if action == "rules":
            return {
                "rules": [
                    {"name": name, "parameters": {key: self.parameters.get(key, default) for key, default in wanted}}
                    for name, _, wanted in rules.RULES
                ]
            }
        if action == "load_profiles":
            self.profiles.update(rules.read_profiles(data["profiles"]))
            return {"status": "success", "profiles": self.profiles}
        if action == "skip_rule":
            self.parameters.setdefault("skip_rules", []).append(data["rule"])
            return {"status": "success", "skip_rules": self.parameters["skip_rules"]}
        if action == "get_state":
            return {"admitted": self.admitted, "refused": self.refused}
        return {"status": "error", "message": f"Unknown action '{action}'"}
