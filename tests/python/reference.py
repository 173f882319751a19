"""Runs the steps of one policy under the Python at hand, as the reference for every other way to run them.

    python3 reference.py [--fresh] FOLDER

FOLDER has `policy.json`, `calls.json` and `code/function.py`. Standard output gets one JSON array with an element per
step: `{"ok": RESULT}`, or `{"error": {"type": CLASS, "message": TEXT}}` for a step that raised. Whatever the policy
prints goes to standard error. With --fresh, each eval step has an instance of its own, of code that is loaded anew, and
management steps are left out. The context is one dict for all steps, either way.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import json
import pathlib
import sys
from typing import Any, Callable

Json = Any
Step = dict[str, Json]
Outcome = dict[str, Json]


def own_modules(code: pathlib.Path) -> list[str]:
    """The names of the loaded modules whose files are the policy's own."""
    return [
        name
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) and code in pathlib.Path(file).parents
    ]


def load_class(code: pathlib.Path) -> type:
    """Loads `function.py` without putting its folder on `sys.path`: a policy with siblings does that itself."""
    for name in own_modules(code):
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location("function", code / "function.py")
    if spec is None or spec.loader is None:
        raise ImportError("code/function.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up by name while it is being loaded.
    sys.modules["function"] = module
    spec.loader.exec_module(module)
    return module.AIOSv1PolicyRule


class Host:
    """What surrounds an instance: its record, and the one parameters object that it shares with its evals."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.code = (folder / "code").resolve()
        self.record: dict[str, Json] = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        self.context: dict[str, Json] = {}
        self.renew()

    def renew(self) -> None:
        settings = copy.deepcopy(self.record["policy_settings"])
        self.parameters = copy.deepcopy(self.record["policy_parameters"])
        self.instance = load_class(self.code)("", settings, self.parameters)

    def call(self, step: Step) -> Json:
        if "eval" in step:
            parameters = step.get("parameters", self.parameters)
            return self.instance.eval(parameters, step["eval"], self.context)
        command = step["management"]
        return self.instance.management(command["action"], command["data"])


def outcome_of(call: Callable[[], Json]) -> Outcome:
    try:
        return {"ok": json.loads(json.dumps(call()))}
    except Exception as error:
        return {"error": {"type": type(error).__name__, "message": str(error)}}


def run(folder: pathlib.Path, fresh: bool) -> list[Outcome]:
    steps: list[Step] = json.loads((folder / "calls.json").read_text(encoding="utf-8"))["steps"]
    host = Host(folder)
    outcomes = []
    for step in steps:
        if fresh:
            if "eval" not in step:
                continue
            host.renew()
        outcomes.append(outcome_of(lambda: host.call(step)))
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the steps of one policy and prints what came of each.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--fresh", action="store_true", help="an instance of its own for each eval; no management")
    arguments = parser.parse_args()
    # The folders hold sources alone, whoever ran them.
    sys.dont_write_bytecode = True
    with contextlib.redirect_stdout(sys.stderr):
        outcomes = run(arguments.folder, arguments.fresh)
    json.dump(outcomes, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
