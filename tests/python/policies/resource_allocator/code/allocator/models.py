"""Plain values: amounts of resources, GPUs, requests and placements."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Any, Iterable, Iterator, Mapping

from .errors import BadRequestError

QUANTITY = re.compile(r"^\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]i?)?B?\s*$")
# Megabytes are what AIOS counts memory in.
UNITS = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024, "Ti": 1024**2, "K": 1 / 1000, "M": 1, "G": 1000, "T": 1000**2}


def parse_megabytes(value: Any, field_name: str) -> int:
    """Whole megabytes of 512, "512Mi", "1.5 Gi" or "2GB"; what does not fill a megabyte is rounded up."""
    if isinstance(value, bool):
        raise BadRequestError(field_name, "a boolean is no amount")
    if isinstance(value, (int, float)):
        amount = float(value)
    else:
        match = QUANTITY.match(str(value))
        if match is None:
            raise BadRequestError(field_name, f"{value!r} is no amount")
        amount = float(match["amount"]) * UNITS[match["unit"] or "M"]
    if amount < 0:
        raise BadRequestError(field_name, "it is negative")
    return -int(-amount // 1)


def parse_millis(value: Any, field_name: str) -> int:
    """Thousandths of a CPU of 2, 0.5 or "250m"."""
    if isinstance(value, str) and value.endswith("m") and value[:-1].isdigit():
        return int(value[:-1])
    try:
        millis = round(float(value) * 1000)
    except (TypeError, ValueError):
        raise BadRequestError(field_name, f"{value!r} is no number of CPUs") from None
    if millis < 0:
        raise BadRequestError(field_name, "it is negative")
    return millis


@dataclass(frozen=True, slots=True)
class Resources:
    """An amount of everything that is counted. All whole numbers, so that sums are exact in any order."""

    cpu_millis: int = 0
    memory_mb: int = 0
    storage_mb: int = 0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Resources:
        return cls(
            parse_millis(document.get("vcpus", 0), "vcpus"),
            parse_megabytes(document.get("memory", 0), "memory"),
            parse_megabytes(document.get("storage", 0), "storage"),
        )

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(mine + theirs for mine, theirs in zip(self, other)))

    def __sub__(self, other: Resources) -> Resources:
        return Resources(*(mine - theirs for mine, theirs in zip(self, other)))

    def __iter__(self) -> Iterator[int]:
        return (getattr(self, each.name) for each in dataclasses.fields(self))

    def lacking(self, room: Resources) -> list[str]:
        """The names of what there is too little of."""
        names = [each.name for each in dataclasses.fields(self)]
        return [name for name, mine, theirs in zip(names, self, room) if mine > theirs]


class Trait(Flag):
    """What a GPU can do, beyond being one."""

    NONE = 0
    TENSOR = auto()
    NVLINK = auto()
    SHAREABLE = auto()

    @classmethod
    def parse(cls, names: Iterable[str]) -> Trait:
        traits = cls.NONE
        for name in names:
            try:
                traits |= cls[name.upper()]
            except KeyError:
                raise BadRequestError("traits", f"{name!r} is no trait of a GPU") from None
        return traits

    def names(self) -> list[str]:
        every = (Trait.TENSOR, Trait.NVLINK, Trait.SHAREABLE)
        return [each.name.lower() for each in every if each in self]


class Spread(Enum):
    PACK = "pack"
    SPREAD = "spread"
    BALANCED = "balanced"

    @classmethod
    def parse(cls, name: str) -> Spread:
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(each.value for each in cls)
            raise BadRequestError("strategy", f"{name!r} is none of {known}") from None


@dataclass(frozen=True)
class Gpu:
    id: str
    model: str = "unknown"
    memory_mb: int = 0
    traits: Trait = Trait.NONE
    island: str = ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Gpu:
        return cls(
            id=document["id"],
            model=document.get("modelName", "unknown"),
            memory_mb=parse_megabytes(document.get("memory", 0), "gpu memory"),
            traits=Trait.parse(document.get("traits", [])),
            island=document.get("island", ""),
        )


@dataclass(frozen=True)
class GpuNeed:
    count: int = 0
    memory_mb: int = 0
    fraction_percent: int = 100
    traits: Trait = Trait.NONE
    models: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        return self.fraction_percent < 100

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> GpuNeed:
        percent = round(float(document.get("fraction", 1)) * 100)
        if not 1 <= percent <= 100:
            raise BadRequestError("gpu fraction", "it is not above 0 and at most 1")
        need = cls(
            count=document.get("count", 0),
            memory_mb=parse_megabytes(document.get("memory", 0), "gpu memory"),
            fraction_percent=percent,
            traits=Trait.parse(document.get("traits", [])),
            models=tuple(document.get("models", ())),
        )
        if need.shared and need.count != 1:
            raise BadRequestError("gpu fraction", "only a single GPU can be shared")
        return need


@dataclass(frozen=True)
class Toleration:
    key: str
    value: str | None = None

    def covers(self, taint: tuple[str, str]) -> bool:
        return self.key == taint[0] and self.value in (None, taint[1])


@dataclass(frozen=True)
class Request:
    owner: str
    resources: Resources = Resources()
    gpu: GpuNeed = GpuNeed()
    labels: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    avoid: frozenset[str] = frozenset()
    near: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    priority: int = 0

    @classmethod
    def from_document(cls, payload: Mapping[str, Any]) -> Request:
        block = payload.get("block")
        if not isinstance(block, Mapping):
            raise BadRequestError("block", "it is missing")
        owner = payload.get("instance_id") or block.get("id")
        if not owner:
            raise BadRequestError("block.id", "it is missing")
        needs = block.get("requirements", {})
        affinity = block.get("affinity", {})
        return cls(
            owner=owner,
            resources=Resources.from_document(needs),
            gpu=GpuNeed.from_document(needs.get("gpu", {})),
            labels=tuple(sorted(block.get("nodeSelector", {}).items())),
            tolerations=tuple(Toleration(each["key"], each.get("value")) for each in block.get("tolerations", [])),
            near=tuple(affinity.get("near", ())),
            apart_from=tuple(affinity.get("apartFrom", ())),
            priority=block.get("priority", 0),
        )

    def confined_to(self, labels: Mapping[str, str]) -> Request:
        return dataclasses.replace(self, labels=tuple(sorted({**dict(self.labels), **labels}.items())))

    def avoiding(self, nodes: Iterable[str]) -> Request:
        return dataclasses.replace(self, avoid=self.avoid | frozenset(nodes))

    def replicas(self, count: int, first: int) -> Iterator[Request]:
        for index in range(first, first + count):
            yield dataclasses.replace(self, owner=f"{self.owner}/{index}")


@dataclass(frozen=True)
class Placement:
    node_id: str
    gpu_ids: list[str]
    score: float
    explanation: dict[str, float] = field(default_factory=dict)
    alternatives: list[str] = field(default_factory=list)
