"""A directed graph, of which one wants the order and the depth of nodes."""

import heapq
from collections import defaultdict
from functools import lru_cache


class CycleError(ValueError):
    def __init__(self, nodes):
        super().__init__(f"the graph goes round in circles at {', '.join(nodes)}")
        self.nodes = nodes


class Graph:
    def __init__(self, nodes, edges):
        """`edges` maps a node to those that get its output."""
        self.nodes = list(nodes)
        self._children = defaultdict(list)
        self._parents = defaultdict(list)
        for source, targets in edges.items():
            for target in targets:
                for end in (source, target):
                    if end not in self.nodes:
                        raise ValueError(f"the graph names {end}, which is no node")
                self._children[source].append(target)
                self._parents[target].append(source)
        self.depth = lru_cache(maxsize=None)(self._depth)

    def parents(self, node):
        return sorted(self._parents[node])

    def sinks(self):
        return sorted(node for node in self.nodes if not self._children[node])

    def order(self):
        """The nodes, each after all of its parents; by name where there is a choice."""
        missing = {node: len(self._parents[node]) for node in self.nodes}
        ready = [node for node, count in missing.items() if count == 0]
        heapq.heapify(ready)
        ordered = []
        while ready:
            node = heapq.heappop(ready)
            ordered.append(node)
            for child in self._children[node]:
                missing[child] -= 1
                if missing[child] == 0:
                    heapq.heappush(ready, child)
        if len(ordered) < len(self.nodes):
            raise CycleError(sorted(node for node, count in missing.items() if count > 0))
        return ordered

    def _depth(self, node):
        return 1 + max((self.depth(parent) for parent in self._parents[node]), default=0)
