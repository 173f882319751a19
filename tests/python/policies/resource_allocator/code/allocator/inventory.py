"""The nodes of a cluster, with what they have and what others use of it."""

from __future__ import annotations

import ipaddress
from collections import ChainMap
from dataclasses import asdict, dataclass, field
from typing import Any, Iterator, Mapping

from .errors import BadRequestError
from .models import Gpu, Resources, parse_megabytes, parse_millis


@dataclass
class Node:
    id: str
    capacity: Resources
    used_elsewhere: Resources = field(default_factory=Resources)
    gpus: list[Gpu] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: list[tuple[str, str]] = field(default_factory=list)
    address: str | None = None
    ready: bool = True

    @property
    def zone(self) -> str:
        return self.labels.get("zone", "")

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "zone": self.zone,
            "address": self.address,
            "capacity": asdict(self.capacity),
            "gpus": [gpu.model for gpu in self.gpus],
            "traits": sorted({name for gpu in self.gpus for name in gpu.traits.names()}),
        }


def read_node(document: Mapping[str, Any], defaults: Mapping[str, str]) -> Node:
    if "id" not in document:
        raise BadRequestError("nodeData", "a node has no id")
    vcpus = document.get("vcpus", {})
    storage = document.get("storage", {})
    address = document.get("address")
    if address is not None:
        try:
            address = ipaddress.ip_address(address).exploded
        except ValueError:
            raise BadRequestError("address", f"that of {document['id']} is none") from None
    return Node(
        id=document["id"],
        capacity=Resources(
            parse_millis(vcpus.get("count", 0) if isinstance(vcpus, Mapping) else vcpus, "vcpus"),
            parse_megabytes(document.get("memory", 0), "memory"),
            parse_megabytes(storage.get("size", 0) if isinstance(storage, Mapping) else storage, "storage"),
        ),
        gpus=[Gpu.from_document(gpu) for gpu in document.get("gpus", [])],
        # A node's own labels win over the cluster's.
        labels=ChainMap(document.get("labels", {}), defaults),
        taints=[(taint["key"], taint.get("value", "")) for taint in document.get("taints", [])],
        address=address,
        ready=document.get("status", "ready") == "ready",
    )


class Inventory(Mapping[str, Node]):
    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = {node.id: node for node in sorted(nodes, key=lambda node: node.id)}
        if len(self._nodes) < len(nodes):
            raise BadRequestError("nodeData", "two nodes have the same id")

    @classmethod
    def from_documents(cls, cluster: Mapping[str, Any], metrics: Mapping[str, Any]) -> Inventory:
        try:
            documents = cluster["nodes"]["nodeData"]
        except (KeyError, TypeError):
            raise BadRequestError("cluster_data", "there is no nodes.nodeData") from None
        nodes = [read_node(document, cluster.get("labels", {})) for document in documents]
        for node in nodes:
            used = metrics.get(node.id, {})
            node.used_elsewhere = Resources.from_document(used)
        return cls(nodes)

    def __getitem__(self, node_id: str) -> Node:
        return self._nodes[node_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def zones(self) -> list[str]:
        return sorted({node.zone for node in self.values()})
