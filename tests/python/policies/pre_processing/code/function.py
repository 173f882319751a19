"""Cleans a packet before a block's model gets it: text, secrets, frames and limits."""

import copy
import hashlib
import json
import logging
import os
import re
import sys
from collections import OrderedDict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from helpers import PacketRejected, clean, decode_frame, encode_frame

log = logging.getLogger(__name__)

SECRETS = {
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "card": re.compile(r"\b\d(?:[ -]?\d){12,18}\b"),
    "phone": re.compile(r"(?<!\w)\+\d{1,3}[ -]?\d{3}[ -]?\d{3,7}\b"),
}


def luhn(digits):
    """Whether the digits could be those of a payment card."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class Redactor:
    def __init__(self, kinds):
        self.kinds = [kind for kind in SECRETS if kind in kinds]
        self.found = OrderedDict((kind, 0) for kind in self.kinds)

    def __call__(self, text):
        for kind in self.kinds:
            text = SECRETS[kind].sub(lambda match, kind=kind: self._replace(kind, match[0]), text)
        return text

    def _replace(self, kind, secret):
        if kind == "card" and not luhn(re.sub(r"\D", "", secret)):
            return secret
        self.found[kind] += 1
        return f"[{kind}]"


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.seen = OrderedDict()
        self.rejected = 0

    def eval(self, parameters, input_data, context):
        try:
            return {"packet": self._process(parameters, input_data)}
        except PacketRejected as error:
            self.rejected += 1
            log.warning("rejected: %s", error)
            if parameters.get("on_reject") == "pass":
                return {"packet": input_data.get("packet"), "error": error.code}
            raise

    def _process(self, parameters, input_data):
        packet = input_data.get("packet")
        if not isinstance(packet, dict):
            raise PacketRejected("type", "a packet is an object")
        packet = copy.deepcopy(packet)
        data = packet.get("data")
        if isinstance(data, str):
            data = self._parse(data)
        self._limit(data, parameters)
        if isinstance(data, dict) and "frame" in data:
            data["samples"] = decode_frame(data.pop("frame"))
        data = clean(data)
        redactor = Redactor(parameters.get("redact", []))
        data = self._redact(data, redactor)
        packet["data"] = self._defaults(data, input_data.get("block_data", {}))
        digest = hashlib.md5(json.dumps(data, sort_keys=True).encode("utf-8")).hexdigest()
        packet["preprocessing"] = {
            "digest": digest[:12],
            "duplicate": self._is_duplicate(packet.get("session_id"), digest),
            "redacted": {kind: count for kind, count in redactor.found.items() if count},
        }
        return packet

    @staticmethod
    def _parse(text):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise PacketRejected("json", f"not JSON from character {error.pos} on") from None

    def _limit(self, data, parameters, depth=0):
        if depth > parameters.get("max_depth", 8):
            raise PacketRejected("depth", "nested too deeply")
        if isinstance(data, str) and len(data) > parameters.get("max_text", 2000):
            raise PacketRejected("size", f"a text of {len(data)} characters")
        children = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
        for child in children:
            self._limit(child, parameters, depth + 1)

    def _redact(self, data, redactor):
        if isinstance(data, str):
            return redactor(data)
        if isinstance(data, list):
            return [self._redact(each, redactor) for each in data]
        if isinstance(data, dict):
            return {key: self._redact(each, redactor) for key, each in data.items()}
        return data

    @staticmethod
    def _defaults(data, block_data):
        defaults = block_data.get("input_defaults", {})
        return {**defaults, **data} if isinstance(data, dict) else data

    def _is_duplicate(self, session, digest):
        key = f"{session}/{digest}"
        duplicate = key in self.seen
        self.seen[key] = self.seen.get(key, 0) + 1
        self.seen.move_to_end(key)
        if len(self.seen) > self.settings.get("remember", 100):
            self.seen.popitem(last=False)
        return duplicate

    def management(self, action, data):
        if action == "get_state":
            return {"seen": len(self.seen), "rejected": self.rejected, "redact": self.parameters.get("redact", [])}
        if action == "set_redaction":
            unknown = [kind for kind in data.get("kinds", []) if kind not in SECRETS]
            if unknown:
                raise KeyError(unknown[0])
            self.parameters["redact"] = data.get("kinds", [])
            return {"status": "success", "redact": self.parameters["redact"]}
        if action == "encode_frame":
            return {"frame": encode_frame(data["samples"])}
        return {"status": "error", "message": f"Unknown action '{action}'"}


if __name__ == "__main__":
    rule = AIOSv1PolicyRule("", {}, {"redact": ["email"]})
    print(json.dumps(rule.eval(rule.parameters, {"packet": {"data": {"Text": "a@b.example &amp; c"}}}, None)))
