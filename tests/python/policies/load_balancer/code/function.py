"""Balances the packets of a block over its instances, and pins streams to one of them."""

import logging
import os
import sys
import threading
import uuid
from collections import Counter, OrderedDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import strategies
from strategies import HashRing, NoInstanceError

logger = logging.getLogger("load_balancer")

STREAMS = uuid.UUID("6f1d1c52-6a0b-5c5e-9a55-0f3b0d7c1a11")


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.lock = threading.Lock()
        self.sent = Counter()
        self.streams = OrderedDict()
        self.drained = set()
        self.strategy_name = None
        self.strategy = None

    def eval(self, parameters, input_data, context):
        mode = input_data.get("mode")
        with self.lock:
            match mode:
                case "load_balance":
                    return self._load_balance(parameters, input_data)
                case "estimate":
                    return self._estimate(parameters, input_data.get("inputs") or {})
                case "check_execute":
                    return self._check_execute(parameters, input_data.get("inputs") or {})
                case "health_check":
                    return self._health_check(parameters)
                case None:
                    raise KeyError("mode")
                case str(other):
                    raise ValueError(f"mode {other!r} is not supported")
                case _:
                    raise TypeError("mode is not a string")

    def _current_strategy(self, parameters):
        name = parameters.get("strategy", "round_robin")
        if name != self.strategy_name:
            self.strategy = strategies.create(name, parameters)
            self.strategy_name = name
        return self.strategy

    def _load_balance(self, parameters, input_data):
        packet = input_data.get("packet") or {}
        usable = [each for each in input_data.get("instances", []) if each not in self.drained]
        pinned = self.streams.get(packet.get("session_id"))
        if pinned in usable:
            chosen = pinned
        else:
            chosen = self._current_strategy(parameters)(packet, usable, self._loads())
        self.sent[chosen] += 1
        logger.debug("packet %s goes to %s", packet.get("seq_no"), chosen)
        return {"instance_id": chosen}

    def _loads(self):
        get_metrics = self.settings.get("get_metrics")
        if callable(get_metrics):
            return get_metrics().get("queue_lengths", {})
        return self.sent

    def _estimate(self, parameters, inputs):
        rate = parameters.get("packets_per_second", 10)
        waiting = inputs.get("queue", 0)
        if waiting < 0:
            raise ValueError("the queue cannot be negative")
        workers = max(1, len(self.sent))
        return {
            "packets": self.sent.total(),
            "seconds": round(waiting / (rate * workers), 3),
            "instances": dict(sorted(self.sent.items())),
        }

    def _check_execute(self, parameters, inputs):
        limit = parameters.get("max_packets")
        size = inputs.get("size_bytes", 0)
        if limit is not None and self.sent.total() >= limit:
            return {"allowed": False, "reason": f"{limit} packets were sent already"}
        if size > (largest := parameters.get("max_size_bytes", 1 << 20)):
            return {"allowed": False, "reason": f"{size} bytes are over the limit of {largest}"}
        return {"allowed": True, "reason": ""}

    def _health_check(self, parameters):
        if not self.sent:
            return {"healthy": True, "skew": 0.0}
        mean = self.sent.total() / len(self.sent)
        skew = round(max(self.sent.values()) / mean - 1, 3)
        return {"healthy": skew <= parameters.get("max_skew", 1.0), "skew": skew}

    def management(self, action, data):
        handler = getattr(self, f"_manage_{action}", None)
        if handler is None:
            return {"status": "error", "message": f"Unknown action '{action}'"}
        with self.lock:
            return handler(data)

    def _manage_assign_streaming(self, data):
        session = data["session_id"]
        usable = [each for each in data.get("instances", []) if each not in self.drained]
        if session in self.streams and self.streams[session] in usable:
            self.streams.move_to_end(session)
        else:
            if not usable:
                raise NoInstanceError("no instance can take the stream")
            self.streams[session] = HashRing(usable)[session]
        while len(self.streams) > self.parameters.get("max_streams", 3):
            forgotten, _ = self.streams.popitem(last=False)
            logger.info("stream %s was forgotten", forgotten)
        return {"instance_id": self.streams[session], "stream_id": str(uuid.uuid5(STREAMS, session))}

    def _manage_drain(self, data):
        for instance in data["instances"]:
            self.drained.add(instance)
            if self.strategy is not None:
                self.strategy.forget(instance)
        return {"status": "success", "drained": sorted(self.drained)}

    def _manage_set_strategy(self, data):
        strategies.create(data["strategy"], self.parameters)
        self.parameters["strategy"] = data["strategy"]
        self.parameters.update(data.get("parameters", {}))
        return {"status": "success", "strategy": self.parameters["strategy"]}

    def _manage_get_state(self, data):
        return {
            "sent": self.sent.most_common(),
            "streams": dict(self.streams),
            "drained": sorted(self.drained),
            "strategy": self.strategy_name,
        }

    def _manage_reset(self, data):
        self.sent.clear()
        self.streams.clear()
        self.drained.clear()
        self.strategy = self.strategy_name = None
        return {"status": "success"}
