"""The rules that a node must pass, found by the decorator in the order of their definition."""

import configparser
import inspect
import ipaddress
import re
from dataclasses import dataclass, field

HOSTNAME = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$")
VERSION = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?")

RULES = []


class NodeRefused(Exception):
    """A rule's verdict. `hint` is for whoever wanted to add the node."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint


@dataclass
class Candidate:
    node: dict
    cluster: dict
    metrics: dict
    changes: list = field(default_factory=list)

    def set(self, key, value):
        if self.node.get(key) != value:
            self.node[key] = value
            self.changes.append(key)

    @property
    def peers(self):
        return self.cluster.get("nodes", {}).get("nodeData", [])


def rule(function):
    """Registers a rule. What it takes beyond the candidate is looked up, by name, in the parameters."""
    wanted = [
        (name, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "candidate"
    ]
    RULES.append((function.__name__, function, wanted))
    return function


@rule
def identity(candidate, id_pattern=r"^[a-z][a-z0-9-]{2,30}$"):
    identifier = candidate.node.get("id")
    if not identifier:
        raise NodeRefused("the node has no id")
    if not re.fullmatch(id_pattern, identifier):
        raise NodeRefused(f"{identifier} is no id of a node", hint=id_pattern)
    if any(peer["id"] == identifier for peer in candidate.peers):
        raise NodeRefused(f"{identifier} is in the cluster already")


@rule
def hostname(candidate, domain="cluster.example"):
    name = candidate.node.get("hostname") or f"{candidate.node['id']}.{domain}"
    if not HOSTNAME.match(name.lower()):
        raise NodeRefused(f"{name} is no host name")
    candidate.set("hostname", name.lower())


@rule
def address(candidate, networks=("10.0.0.0/8",)):
    text = candidate.node.get("address")
    if text is None:
        raise NodeRefused("the node has no address")
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise NodeRefused(f"{text} is no address") from None
    homes = [network for network in map(ipaddress.ip_network, networks) if parsed in network]
    if not homes:
        raise NodeRefused(f"{parsed} is outside of the cluster's networks", hint=", ".join(networks))
    if any(peer.get("address") == parsed.compressed for peer in candidate.peers):
        raise NodeRefused(f"{parsed} is another node's address")
    # The most specific network is the one of the node's rack.
    home = max(homes, key=lambda network: network.prefixlen)
    candidate.set("address", parsed.compressed)
    candidate.set("network", home.with_prefixlen)


@rule
def hardware(candidate, min_vcpus=2, min_memory=4096):
    vcpus = candidate.node.get("vcpus", {}).get("count", 0)
    memory = candidate.node.get("memory", 0)
    if vcpus < min_vcpus or memory < min_memory:
        raise NodeRefused(f"{vcpus} CPUs and {memory} MB are too little", hint=f"at least {min_vcpus} and {min_memory}")


@rule
def kubelet(candidate, min_version="1.26"):
    text = candidate.node.get("kubelet", "")
    parsed = VERSION.match(text)
    if parsed is None:
        raise NodeRefused("the version of the kubelet is unknown")
    wanted = tuple(int(part) for part in min_version.split("."))
    found = tuple(int(part) for part in parsed.groups("0"))
    if found < wanted:
        raise NodeRefused(f"kubelet {text} is too old", hint=f"at least {min_version}")


@rule
def crowding(candidate, max_nodes=5):
    if len(candidate.peers) >= max_nodes:
        raise NodeRefused("the cluster is full", hint=f"at most {max_nodes}")


@rule
def calm(candidate, max_pending=50):
    pending = candidate.metrics.get("pending_pods", 0)
    if pending > max_pending:
        # They would all rush to the new node.
        raise NodeRefused(f"{pending} pods wait to be placed", hint=f"at most {max_pending}")


def read_profiles(text):
    """Profiles of nodes, as the operators keep them: sections of an INI text, [DEFAULT] for all."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {
        name: {
            "labels": dict(pair.split("=", 1) for pair in parser[name].get("labels", "").split()),
            "min_gpus": parser[name].getint("min_gpus", fallback=0),
            "schedulable": parser[name].getboolean("schedulable", fallback=True),
        }
        for name in parser.sections()
    }
