"""A class per kind of event, found by the pattern of event names that it says it handles."""

import fnmatch
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Dict, List, Optional, Type


class EventError(Exception):
    """The event cannot be handled."""


class UnknownEventError(EventError):
    pass


@dataclass(frozen=True)
class Notice:
    channel: str
    title: str
    severity: str = "info"
    fields: Dict[str, Any] = field(default_factory=dict)

    def to_dict(self):
        return asdict(self)


def parse_moment(text):
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").astimezone(timezone.utc)
    except (TypeError, ValueError):
        raise EventError("event_data.at is no time") from None


class Handler(ABC):
    pattern: ClassVar[Optional[str]] = None
    _handlers: ClassVar[List[Type["Handler"]]] = []

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.pattern is not None:
            Handler._handlers.append(cls)

    @classmethod
    def of(cls, name: str) -> Type["Handler"]:
        """The handler with the longest pattern that the name matches: the most specific one."""
        fitting = [handler for handler in cls._handlers if fnmatch.fnmatchcase(name, handler.pattern)]
        if not fitting:
            raise UnknownEventError(f"nobody handles {name}")
        return max(fitting, key=lambda handler: len(handler.pattern))

    def __init__(self, block_id: str, name: str, data: Dict[str, Any], parameters: Dict[str, Any]) -> None:
        self.block_id = block_id
        self.name = name
        self.data = data
        self.parameters = parameters
        self.at = parse_moment(data.get("at"))

    @abstractmethod
    def notices(self, record: Dict[str, Any]) -> List[Notice]:
        """What to tell whom. `record` is what is remembered of the block, and may be changed."""


class BlockHandler(Handler):
    pattern = "block.*"

    def notices(self, record):
        record["state"] = self.name.partition(".")[2]
        return [Notice("ops", f"{self.block_id} is {record['state']}")]


class CrashHandler(BlockHandler):
    """Crashes are told one by one, until there are too many of them to do so."""

    pattern = "block.crashed"

    def notices(self, record):
        window = timedelta(minutes=self.parameters.get("crash_window_minutes", 10))
        limit = self.parameters.get("crash_limit", 3)
        crashes = record.setdefault("crashes", [])
        crashes.append(self.at.isoformat())
        crashes[:] = [text for text in crashes if self.at - datetime.fromisoformat(text) <= window]
        notices = super().notices(record)
        if len(crashes) < limit:
            return notices
        fields = {"crashes": len(crashes), "since": crashes[0]}
        return [Notice("pager", f"{self.block_id} keeps crashing", "critical", fields)]


class InstanceHandler(Handler):
    pattern = "instance.*"

    def notices(self, record):
        instance = self.data.get("instance_id")
        if instance is None:
            raise EventError("event_data.instance_id is missing")
        instances = record.setdefault("instances", {})
        if self.name == "instance.removed":
            instances.pop(instance, None)
        else:
            instances[instance] = self.name.partition(".")[2]
        return []


class ScalingHandler(Handler):
    pattern = "scale.*"

    def notices(self, record):
        before, after = self.data["from"], self.data["to"]
        record["size"] = after
        if abs(after - before) < self.parameters.get("notable_change", 2):
            return []
        verb = "grows" if after > before else "shrinks"
        return [Notice("ops", f"{self.block_id} {verb} from {before} to {after}", "warning")]
