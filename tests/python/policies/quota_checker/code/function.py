"""Decides whether a session may use a vDAG once more: by its plan's quota, its network, its burst and its balance.

What sessions have used is kept in the context, for other instances of this policy answer the same sessions.
"""

import ipaddress
import logging
import os
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tokens

logger = logging.getLogger("quota")

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Plan:
    def __init__(self, name, limits):
        self.name = name
        self.limits = limits

    @cached_property
    def networks(self):
        return [ipaddress.ip_network(each) for each in self.limits.get("networks", [])]

    @property
    def window(self):
        return timedelta(seconds=self.limits.get("window_seconds", 3600))

    def admits(self, address):
        return not self.networks or any(address in network for network in self.networks)


def parse_time(text):
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(timezone.utc)


class Denied(Exception):
    """Carries the reason out of the checks; it never leaves the policy."""

    def __init__(self, reason, **details):
        super().__init__(reason)
        self.details = details


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.blocked = {}
        self.denials = 0

    def eval(self, parameters, input_data, context):
        session = input_data["session_id"]
        quota = input_data.get("quota", 0)
        request = input_data.get("input") or {}
        now = parse_time(request.get("at", "2024-01-01T00:00:00Z"))
        plan = self._plan(parameters, request, input_data.get("quota_table") or {}, session)
        usage = context.get(session, {"tokens": None, "window": None, "used": 0, "spent": "0", "reasons": []})
        # Only requests that are allowed use anything up.
        after = {**usage}
        try:
            self._check_blocked(session, now)
            self._check_network(plan, request)
            if quota > plan.limits.get("quota", 100):
                raise Denied("quota exceeded", quota=quota, limit=plan.limits.get("quota", 100))
            self._take_from_window(plan, after, now)
            self._take_token(plan, after, now)
            remaining = self._pay(plan, after, request)
        except Denied as denied:
            self.denials += 1
            logger.warning("%s is denied: %s", session, denied)
            usage["reasons"].append(str(denied))
            context[session] = usage
            context["last_denied"] = session
            return {"allowed": False, "reason": str(denied), "plan": plan.name, **denied.details}
        context[session] = after
        last_denied = context.pop("last_denied", None)
        return {
            "allowed": True,
            "plan": plan.name,
            "balance": str(remaining),
            "used_in_window": after["used"],
            "last_denied": last_denied,
            "sessions": sorted(name for name, value in context.items() if isinstance(value, dict)),
        }

    def _plan(self, parameters, request, table, session):
        plans = parameters.get("plans", {})
        if token := request.get("token"):
            claims = tokens.verify(self.settings["signing_key"], token)
            if claims.get("session") != session:
                raise tokens.TokenError("the token is another session's")
            name = claims["plan"]
        else:
            name = table.get(session, {}).get("plan", "free")
        if name not in plans:
            raise KeyError(name)
        return Plan(name, plans[name])

    def _check_blocked(self, session, now):
        if session not in self.blocked:
            return
        until = self.blocked[session]
        if now < until:
            raise Denied("blocked", until=until.isoformat(), seconds=int((until - now).total_seconds()))
        del self.blocked[session]

    def _check_network(self, plan, request):
        if "ip" not in request:
            return
        try:
            address = ipaddress.ip_address(request["ip"])
        except ValueError:
            raise Denied("the address is none") from None
        if not plan.admits(address):
            raise Denied("the network is not the plan's", ip=address.compressed)

    def _take_from_window(self, plan, usage, now):
        start = EPOCH + (now - EPOCH) // plan.window * plan.window
        if usage["window"] != start.isoformat():
            usage["window"] = start.isoformat()
            usage["used"] = 0
        limit = plan.limits.get("per_window")
        if limit is not None and usage["used"] >= limit:
            raise Denied("window exhausted", retry_at=(start + plan.window).isoformat())
        usage["used"] += 1

    def _take_token(self, plan, usage, now):
        """A bucket that holds `burst` tokens and gets one every `refill_seconds`; whole milliseconds keep it exact."""
        burst = plan.limits.get("burst")
        if burst is None:
            return
        refill = plan.limits.get("refill_seconds", 1) * 1000
        at = (now - EPOCH) // timedelta(milliseconds=1)
        bucket = usage["tokens"] or [burst * refill, at]
        level = min(burst * refill, bucket[0] + at - bucket[1])
        if level < refill:
            raise Denied("too fast", wait_ms=refill - level)
        usage["tokens"] = [level - refill, at]

    def _pay(self, plan, usage, request):
        cost = Decimal(plan.limits.get("price", "0")) * request.get("units", 1)
        balance = Decimal(plan.limits.get("balance", "0")) - Decimal(usage["spent"])
        if cost > balance:
            raise Denied("balance too low", balance=str(balance), cost=str(cost))
        usage["spent"] = str(Decimal(usage["spent"]) + cost)
        return balance - cost

    def management(self, action, data):
        match action, data:
            case "block", {"session_id": session, "until": until}:
                self.blocked[session] = parse_time(until)
                return {"status": "success", "blocked": sorted(self.blocked)}
            case "unblock", {"session_id": session}:
                return {"status": "success", "was_blocked": self.blocked.pop(session, None) is not None}
            case "issue_token", {"session_id": session, "plan": plan}:
                return {"token": tokens.issue(self.settings["signing_key"], {"plan": plan, "session": session})}
            case "set_plan", {"name": str(name), "limits": dict(limits)}:
                self.parameters["plans"].setdefault(name, {}).update(limits)
                return {"status": "success", "plans": sorted(self.parameters["plans"])}
            case "get_state", _:
                return {
                    "blocked": {session: until.isoformat() for session, until in sorted(self.blocked.items())},
                    "denials": self.denials,
                }
            case ("block" | "unblock" | "issue_token" | "set_plan"), _:
                return {"status": "error", "message": f"Data for '{action}' is incomplete"}
            case _:
                return {"status": "error", "message": f"Unknown action '{action}'"}
