"""The exports of the component: `rule` and `source` of the package `lictor:policy`."""

from _lictor import offered
from _lictor.files import compile_package
from _lictor.policy import Policy
from wit_world import exports

offered.prepare()
policy = Policy()


class Rule(exports.Rule):
    def init(self, rule_id: str, settings: str, parameters: str) -> None:
        policy.init(rule_id, settings, parameters)

    def eval(self, parameters: str | None, input: str, call: str) -> str:
        return policy.eval(parameters, input)

    def management(self, action: str, data: str) -> str:
        return policy.management(action, data)


class Source(exports.Source):
    def compile(self, files: bytes) -> bytes:
        return compile_package(files)

    def load(self, compiled: bytes) -> None:
        policy.load(compiled)

    def freeze(self, compiled: bytes) -> None:
        policy.freeze(compiled)
