"""Reacts to the events of blocks: remembers them in the context, and says whom to notify with what.

The context is shared with the other policies of the block, so only the keys that start with "events." are touched.
"""

import hashlib
import hmac
import json
import logging
import os
import sys
import textwrap
import uuid
from collections import deque
from datetime import timedelta

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from handlers import EventError, Handler, parse_moment

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger("block_events")

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:block-events")
PREFIX = "events."


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.outbox = deque(maxlen=settings.get("outbox", 5))

    def eval(self, parameters, input_data, context):
        block = input_data.get("block_id")
        name = input_data.get("event_name")
        data = input_data.get("event_data", {})
        if not block or not name:
            raise EventError("block_id and event_name are needed")
        if name == "block.deleted":
            return self._forget(context, block)
        handler = Handler.of(name)(block, name, data, parameters)
        event_id = str(uuid.uuid5(NAMESPACE, f"{block}/{name}/{handler.at.isoformat()}"))
        recent = context.setdefault("events.recent", [])
        # Events are delivered at least once.
        if event_id in recent:
            return {"event_id": event_id, "repeated": True, "notices": []}
        key = f"{PREFIX}{block}"
        known = key in context
        record = context.get(key, {"first_seen": handler.at.isoformat(), "count": 0})
        notices = handler.notices(record)
        record["count"] += 1
        record["last_seen"] = handler.at.isoformat()
        context[key] = record
        # Only now: an event that could not be handled may well come again.
        recent.append(event_id)
        del recent[: -self.settings.get("remember", 4)]
        messages = [self._message(notice) for notice in notices if not self._is_quiet(parameters, notice, handler.at)]
        logger.info("%s of %s: %d of %d notices are sent", name, block, len(messages), len(notices))
        self.outbox.extend(message["title"] for message in messages)
        return {
            "event_id": event_id,
            "repeated": False,
            "new_block": not known,
            "record": record,
            "notices": messages,
            "blocks": sorted(key.removeprefix(PREFIX) for key, _ in self._records(context)),
        }

    def _records(self, context):
        return ((key, value) for key, value in context.items() if key.startswith(PREFIX) and isinstance(value, dict))

    def _is_quiet(self, parameters, notice, moment):
        """Whether nobody wants to be woken up for this at that hour, in the team's own time zone."""
        quiet = parameters.get("quiet_hours")
        if not quiet or notice.severity == "critical":
            return False
        local = moment + timedelta(hours=parameters.get("utc_offset_hours", 0))
        start, end = quiet
        return start <= local.hour < end if start <= end else local.hour >= start or local.hour < end

    def _message(self, notice):
        body = json.dumps(notice.to_dict(), sort_keys=True)
        secret = self.settings.get("webhook_secret", "").encode("utf-8")
        signature = hmac.new(secret, body.encode("utf-8"), hashlib.sha256).hexdigest()
        return {
            **notice.to_dict(),
            "title": textwrap.shorten(notice.title, width=40, placeholder="..."),
            "signature": signature[:16],
        }

    def _forget(self, context, block):
        key = f"{PREFIX}{block}"
        if key not in context:
            raise EventError(f"nothing is known of {block}")
        record = context[key]
        del context[key]
        context.update({"events.deleted": context.get("events.deleted", 0) + 1})
        return {"forgotten": block, "count": record["count"], "deleted": context["events.deleted"]}

    def management(self, action, data):
        if action == "outbox":
            return {"outbox": list(self.outbox)}
        if action == "set_quiet_hours":
            hours = data.get("hours")
            if hours is not None and not all(isinstance(hour, int) and 0 <= hour < 24 for hour in hours):
                raise ValueError("hours are whole numbers from 0 to 23")
            self.parameters["quiet_hours"] = hours
            return {"status": "success", "quiet_hours": hours}
        if action == "parse_time":
            return {"utc": parse_moment(data.get("at")).isoformat()}
        return {"status": "error", "message": f"Unknown action '{action}'"}
