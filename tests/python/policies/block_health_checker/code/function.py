"""Watches the instances of a block and says what to do about those that are ill.

An instance is suspected after one failed check, restarted after several, and given up on when restarts do not help.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
import warnings
from collections import Counter, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from enum import IntEnum, auto, unique

logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
logger = logging.getLogger("block.health")

Action = namedtuple("Action", ["kind", "instance", "reason"], defaults=[""])


@unique
class Health(IntEnum):
    HEALTHY = auto()
    SUSPECT = auto()
    RESTARTING = auto()
    DEAD = auto()


class UnstableBlockError(Exception):
    """So many instances fail at once that the fault must be in the block."""

    def __init__(self, failing: int, total: int) -> None:
        super().__init__(f"{failing} of {total} instances fail")
        self.failing = failing
        self.total = total


@dataclass(slots=True)
class Patient:
    name: str
    health: Health = Health.HEALTHY
    failures: int = 0
    restarts: int = 0
    history: deque[bool] = field(default_factory=lambda: deque(maxlen=5))

    def observe(self, passed: bool) -> None:
        self.history.append(passed)
        self.failures = 0 if passed else self.failures + 1

    @property
    def flapping(self) -> bool:
        """Whether it went from well to ill and back so often that its last answer means little."""
        changes = sum(1 for before, after in zip(self.history, list(self.history)[1:]) if before != after)
        return changes >= 3


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.patients: dict[str, Patient] = {}
        self.totals: Counter[str] = Counter()
        self.problems: list[str] = []

    def eval(self, parameters, input_data, context):
        checks = input_data.get("health_check_data")
        if not isinstance(checks, dict):
            raise ValueError("health_check_data must map instances to booleans")
        pods = input_data.get("instances", {})
        self._forget_all_but(checks)
        actions = []
        groups = defaultdict(list)
        for name in sorted(checks):
            patient = self.patients.setdefault(name, Patient(name))
            with self._noted(name):
                actions.extend(self._examine(patient, checks[name], pods.get(name, {}), parameters))
            groups[patient.health.name.lower()].append(name)
        failing = sum(1 for name in checks if self.patients[name].health is not Health.HEALTHY)
        limit = parameters.get("max_failing_fraction", 1.0)
        if checks and failing / len(checks) > limit:
            raise UnstableBlockError(failing, len(checks))
        self.totals.update(action.kind for action in actions)
        return {
            "block_id": input_data.get("block_data", {}).get("id"),
            "actions": [action._asdict() for action in actions],
            "groups": dict(groups),
            "flapping": [name for name in sorted(checks) if self.patients[name].flapping],
        }

    def _examine(self, patient, passed, pod, parameters):
        if not isinstance(passed, bool):
            raise TypeError("a check is neither passed nor failed")
        patient.observe(passed)
        if pod.get("phase") == "Pending":
            # A pod that is still being placed fails every check, and a restart would only put it back in the queue.
            yield Action("wait", patient.name, "pending")
            return
        if passed:
            if patient.health is not Health.HEALTHY:
                yield Action("recovered", patient.name, f"was {patient.health.name.lower()}")
            patient.health = Health.HEALTHY
            return
        if patient.failures < parameters.get("failures_before_restart", 2):
            patient.health = Health.SUSPECT
        elif patient.restarts < parameters.get("max_restarts", 2):
            patient.health = Health.RESTARTING
            patient.restarts += 1
            # The restarted instance gets the same patience as a new one.
            patient.failures = 0
            yield Action("restart", patient.name, f"attempt {patient.restarts}")
        elif patient.health < Health.DEAD:
            patient.health = Health.DEAD
            yield Action("replace", patient.name, "restarts did not help")

    @contextlib.contextmanager
    def _noted(self, name):
        """One instance's bad data must not keep the others from being looked at."""
        try:
            yield
        except TypeError:
            logger.exception("instance %s cannot be judged", name)
            self.problems.append(f"{name}: {traceback.format_exc().strip().splitlines()[-1]}")

    def _forget_all_but(self, checks):
        for name in [known for known in self.patients if known not in checks]:
            del self.patients[name]

    def management(self, action, data):
        if action == "get_state":
            return {
                "patients": {
                    name: {
                        "health": patient.health.name,
                        "failures": patient.failures,
                        "restarts": patient.restarts,
                        "history": list(patient.history),
                    }
                    for name, patient in sorted(self.patients.items())
                },
                "totals": dict(self.totals),
                "problems": self.problems,
            }
        if action == "forgive":
            patient = self.patients[data["instance"]]
            patient.restarts = patient.failures = 0
            patient.health = Health.HEALTHY
            return {"status": "success", "instance": patient.name}
        if action == "configure":
            return self._configure(data)
        return {"status": "error", "message": f"Unknown action '{action}'"}

    def _configure(self, data):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if "restart_limit" in data:
                warnings.warn("restart_limit is now max_restarts", DeprecationWarning, stacklevel=2)
                data = {**data, "max_restarts": data["restart_limit"]}
                del data["restart_limit"]
            self.parameters.update(data)
        return {
            "status": "success",
            "parameters": self.parameters,
            "warnings": [str(each.message) for each in caught],
        }
