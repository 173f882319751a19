"""Picks the cluster for a new block: first those worth a dry run, then the best of what the dry runs said."""

import logging
import os
import sys
from operator import itemgetter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from selection import Candidate, FilterError, Ranking, best_of, compile_filter
from selection.ranking import Term

logger = logging.getLogger("cluster_allocator")


class NoClusterError(Exception):
    def __init__(self, block, rejected):
        reasons = "; ".join(f"{cluster}: {reason}" for cluster, reason in rejected)
        super().__init__(f"no cluster for {block}" + (f" ({reasons})" if reasons else ""))


class AIOSv1PolicyRule:
    DEFAULT_WEIGHTS = {"vcpus": 1.0, "memory": 1.0, "gpus": 2.0, "reputation": 1.5}

    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.cordoned = set()
        self.chosen = []

    def eval(self, parameters, input_data, context):
        action = input_data.get("action")
        if action == "selection":
            return self._select(parameters, input_data)
        if action == "post_dry_run":
            return self._choose(parameters, input_data)
        raise ValueError(f"action {action!r} is neither selection nor post_dry_run")

    def _select(self, parameters, input_data):
        block = input_data.get("block_data", {})
        needs = block.get("requirements", {})
        predicate = compile_filter(parameters.get("filter", {}))
        ranking, rejected = Ranking(), []
        for cluster in input_data.get("filter_result", []):
            reason = self._unfit(cluster, needs, predicate)
            if reason:
                rejected.append((cluster["id"], reason))
            else:
                terms = list(self._terms(parameters, cluster, needs))
                ranking.push(Candidate(id=cluster["id"], terms=terms, entry=cluster))
        if not ranking:
            raise NoClusterError(block.get("id", "the block"), rejected)
        top = ranking.top(parameters.get("dry_runs", 3))
        return {
            "clusters": [candidate.entry for candidate in top],
            "scores": {candidate.id: candidate.score for candidate in top},
            "explanation": {candidate.id: candidate.explain() for candidate in top},
            "rejected": rejected,
        }

    def _unfit(self, cluster, needs, predicate):
        if cluster["id"] in self.cordoned:
            return "cordoned"
        if not predicate(cluster):
            return "filtered"
        free = cluster.get("free", {})
        short = [name for name in ("vcpus", "memory", "gpus") if free.get(name, 0) < needs.get(name, 0)]
        return f"too little {', '.join(short)}" if short else None

    def _terms(self, parameters, cluster, needs):
        weights = {**self.DEFAULT_WEIGHTS, **parameters.get("weights", {})}
        free = cluster.get("free", {})
        total = cluster.get("total", {})
        for name in ("vcpus", "memory", "gpus"):
            if not total.get(name):
                continue
            left = (free.get(name, 0) - needs.get(name, 0)) / total[name]
            # Packing prefers the cluster that the block fills best, spreading the one that it fills least.
            value = 1 - left if parameters.get("strategy") == "pack" else left
            yield Term(name, weights[name], round(value, 6))
        yield Term("reputation", weights["reputation"], cluster.get("reputation", 50) / 100)

    def _choose(self, parameters, input_data):
        entries = input_data.get("clusters", [])
        usable = []
        for entry in entries:
            score_data = entry.get("score_data") or {}
            if "score" not in score_data:
                logger.warning("the dry run on %s gave no score", entry.get("id"))
                continue
            usable.append(
                Candidate(id=entry["id"], terms=[Term("dry_run", 1.0, float(score_data["score"]))], entry=entry)
            )
        minimum = parameters.get("min_score", 0)
        try:
            best = best_of(candidate for candidate in usable if candidate.score >= minimum)
        except LookupError:
            refused = [(entry["id"], "no good score") for entry in sorted(entries, key=itemgetter("id"))]
            raise NoClusterError("the block", refused) from None
        self.chosen.append(best.id)
        return best.entry

    def management(self, action, data):
        if action == "cordon":
            self.cordoned |= set(data["clusters"])
        elif action == "uncordon":
            self.cordoned -= set(data["clusters"])
        elif action == "set_filter":
            try:
                compile_filter(data["filter"])
            except FilterError as error:
                return {"status": "error", "message": str(error)}
            self.parameters["filter"] = data["filter"]
        elif action != "get_state":
            return {"status": "error", "message": f"Unknown action '{action}'"}
        return {
            "status": "success",
            "cordoned": sorted(self.cordoned),
            "chosen": self.chosen,
            "filter": self.parameters.get("filter"),
        }
