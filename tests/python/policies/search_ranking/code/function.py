"""Ranks the blocks and clusters that a search found: by their words, their metrics and what was clicked before.

The input is the list of matches itself, and so is the answer.
"""

import fnmatch
import functools
import logging
import math
import random
import re
import statistics
from collections import Counter, OrderedDict
from types import SimpleNamespace

logger = logging.getLogger("search_ranking")

WORD = re.compile(r"[a-z0-9]+")
STOP_WORDS = frozenset("a an and for in of on or the to with".split())


class RankingError(Exception):
    pass


@functools.lru_cache(maxsize=1024)
def stem(word):
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ers", "er"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + replacement
    return word


def words(text):
    return [stem(word) for word in WORD.findall(text.lower()) if word not in STOP_WORDS]


class Corpus:
    """Word statistics of the matches at hand, for BM25."""

    FIELDS = {"name": 3, "tags": 2, "description": 1}

    def __init__(self, matches):
        self.counts = [self._count(match) for match in matches]
        self.lengths = [counts.total() for counts in self.counts]
        self.mean_length = statistics.fmean(self.lengths) or 1.0
        self.frequency = Counter(word for counts in self.counts for word in counts)

    def _count(self, match):
        counts = Counter()
        for field, weight in self.FIELDS.items():
            value = match.get(field, "")
            text = " ".join(value) if isinstance(value, list) else value
            for word in words(text):
                counts[word] += weight
        return counts

    def score(self, position, query):
        counts, length = self.counts[position], self.lengths[position]
        norm = 1.2 * (0.25 + 0.75 * length / self.mean_length)
        return math.fsum(
            self._rarity(word) * counts[word] * 2.2 / (counts[word] + norm) for word in query if counts[word]
        )

    def _rarity(self, word):
        holders = self.frequency[word]
        return math.log(1 + (len(self.counts) - holders + 0.5) / (holders + 0.5))


class ClickMemory:
    """How often each match was clicked; the one that was clicked longest ago is forgotten first."""

    def __init__(self, size):
        self.size = size
        self.clicks = OrderedDict()

    def add(self, identifier, count=1):
        self.clicks[identifier] = self.clicks.pop(identifier, 0) + count
        if len(self.clicks) > self.size:
            self.clicks.popitem(last=False)

    def boost(self, identifier):
        return math.log1p(self.clicks.get(identifier, 0))


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.memory = ClickMemory(settings.get("remembered_clicks", 3))
        self.pins = []

    def eval(self, parameters, input_data, context):
        if not isinstance(input_data, list):
            raise RankingError("the input is not a list of matches")
        if not input_data:
            return []
        options = SimpleNamespace(
            query=words(parameters.get("query", "")),
            weights={"text": 1.0, "metrics": 0.5, "clicks": 0.3, **parameters.get("weights", {})},
            filter=parameters.get("filterRule", {}),
            limit=parameters.get("limit", 10),
        )
        matches = [match for match in input_data if self._passes(match, options.filter)]
        if not matches:
            return []
        # Tells the lines of one search from those of another in the log.
        logger.info("search %08x: %d matches", random.getrandbits(32), len(matches))
        corpus = Corpus(matches)
        ranked = [self._rank(corpus, position, match, options) for position, match in enumerate(matches)]
        ranked.sort(key=lambda each: (self._pin(each["id"]), -each["rank_score"], each["id"]))
        if parameters.get("diversify"):
            ranked = self._diversified(ranked)
        return ranked[: options.limit]

    def _passes(self, match, rule):
        if not isinstance(match, dict) or "id" not in match:
            raise RankingError("a match has no id")
        kind = rule.get("matchType")
        if kind is not None and match.get("matchType", "block") != kind:
            return False
        for field, pattern in rule.get("filter", {}).items():
            value = match.get(field, "")
            values = value if isinstance(value, list) else [str(value)]
            if not fnmatch.filter(values, pattern):
                return False
        return True

    def _rank(self, corpus, position, match, options):
        parts = {
            "text": corpus.score(position, options.query) if options.query else 0.0,
            "metrics": self._metrics_score(match),
            "clicks": self.memory.boost(match["id"]),
        }
        total = math.fsum(options.weights[name] * value for name, value in parts.items())
        # Six digits: logarithms may differ in the last ones from one machine to another.
        return {
            "id": match["id"],
            "name": match.get("name"),
            "rank_score": round(total, 6),
            "parts": {name: round(value, 4) for name, value in parts.items()},
            "group": match.get("group", ""),
        }

    def _metrics_score(self, match):
        api = self.settings.get("block_metrics_api")
        metrics = api.get(match["id"]) if api is not None else match.get("metrics")
        if not metrics:
            return 0.0
        latency = metrics.get("latency_ms", 0)
        if latency < 0:
            raise RankingError(f"the latency of {match['id']} is negative")
        return metrics.get("availability", 1.0) / (1 + latency / 100)

    def _pin(self, identifier):
        return self.pins.index(identifier) if identifier in self.pins else len(self.pins)

    def _diversified(self, ranked):
        """The best of each group, then the second best of each, and so on."""
        seen = Counter()
        rounds = []
        for position, each in enumerate(ranked):
            rounds.append((seen[each["group"]], position, each))
            seen[each["group"]] += 1
        return [each for _, _, each in sorted(rounds, key=lambda entry: entry[:2])]

    def management(self, action, data):
        if action == "click":
            self.memory.add(data["id"], data.get("count", 1))
            return {"status": "success", "clicks": dict(self.memory.clicks)}
        if action == "pin":
            self.pins = list(dict.fromkeys([*self.pins, *data["ids"]]))
            return {"status": "success", "pins": self.pins}
        if action == "set_query":
            self.parameters["query"] = data["query"]
            return {"status": "success", "words": words(data["query"])}
        return {"status": "error", "message": f"Unknown action '{action}'"}
