"""Runs a policy inside an application's own process, in a sandbox, or asks an executor to.

::

    from aios_policy_sandbox import LocalPolicyEvaluator

    executor = LocalPolicyEvaluator(policy_rule_uri="ip_allowlist:1.0-beta", mode="local")
    output = executor.execute_policy_rule({"ip": "192.168.0.109"})
    output = executor.execute_mgmt_command("update_local_allowlist", {"ips": ["192.168.0.100"]})
"""

from .errors import (
    PolicyError,
    PolicyFailed,
    PolicyNotFound,
    PolicyNotLoaded,
    PolicyStopped,
    PolicySystemUnreachable,
)
from .evaluator import LocalPolicyEvaluator

__all__ = [
    "LocalPolicyEvaluator",
    "PolicyError",
    "PolicyFailed",
    "PolicyNotFound",
    "PolicyNotLoaded",
    "PolicyStopped",
    "PolicySystemUnreachable",
]
