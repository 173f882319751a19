"""Scores sampled frames of a vDAG's output and raises an alert when a stream's quality sinks."""

import logging
import os
import random
import sys
from fractions import Fraction

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from quality import ALL, Report

logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
logger = logging.getLogger("vdag.quality")


class QualityError(Exception):
    pass


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.random = random.Random(parameters.get("seed", 1))
        self.report = Report(settings.get("window", 5))
        self.skipped = 0

    def eval(self, parameters, input_data, context):
        vdag = input_data.get("vdag_info", {}).get("vdag_uri", "unknown")
        frame = input_data.get("input_data")
        if not isinstance(frame, dict):
            raise QualityError("the frame is not an object")
        if self.random.random() >= parameters.get("sample_rate", 1.0):
            self.skipped += 1
            return {"sampled": False}
        scores = self._score(parameters, frame)
        if not scores:
            return {"sampled": True, "overall": None, "scores": {}, "alerts": []}
        self.report.add(scores)
        overall = self._overall(parameters, scores)
        return {
            "sampled": True,
            "overall": round(float(overall), 4),
            "scores": {name: round(float(score), 4) for name, score in scores.items()},
            "alerts": self._alerts(parameters, context, vdag, overall),
        }

    def _score(self, parameters, frame):
        options = parameters.get("measures", {})
        scores = {}
        for kind in ALL:
            if options.get(kind.name) is False:
                continue
            try:
                score = kind(options.get(kind.name, {})).score(frame)
            except (AttributeError, TypeError):
                raise QualityError(f"{kind.name} cannot be measured") from None
            if score is not None:
                scores[kind.name] = score
        return scores

    def _overall(self, parameters, scores):
        weights = {name: Fraction(str(parameters.get("weights", {}).get(name, 1))) for name in scores}
        total = sum(weights.values(), Fraction())
        if total == 0:
            raise ZeroDivisionError("all weights are zero")
        return sum((weights[name] * score for name, score in scores.items()), Fraction()) / total

    def _alerts(self, parameters, context, vdag, overall):
        """Several bad frames in a row make an alert; the first good one ends it."""
        streams = context.setdefault("streams", {})
        stream = streams.setdefault(vdag, {"bad": 0, "recent": [], "alerted": False})
        recent = stream["recent"]
        recent.append(round(float(overall), 4))
        if len(recent) > 4:
            del recent[0]
        if overall >= Fraction(str(parameters.get("threshold", 0.6))):
            ended = stream["alerted"]
            stream.update(bad=0, alerted=False)
            return [{"kind": "recovered", "vdag": vdag}] if ended else []
        stream["bad"] += 1
        if stream["bad"] < parameters.get("patience", 2) or stream["alerted"]:
            return []
        stream["alerted"] = True
        context.setdefault("alerts", []).append(vdag)
        logger.warning("the quality of %s sinks", vdag)
        return [{"kind": "degraded", "vdag": vdag, "recent": list(recent), "alerts_so_far": len(context["alerts"])}]

    def management(self, action, data):
        if action == "report":
            return {"summary": self.report.summary(), "skipped": self.skipped}
        if action == "set_threshold":
            threshold = data["threshold"]
            if not 0 <= threshold <= 1:
                raise ValueError("a threshold is between 0 and 1")
            self.parameters["threshold"] = threshold
            return {"status": "success", "threshold": threshold}
        if action == "set_sampling":
            self.parameters["sample_rate"] = data.get("rate", 1.0)
            self.random.seed(data.get("seed", 1))
            return {"status": "success"}
        return {"status": "error", "message": f"Unknown action '{action}'"}
