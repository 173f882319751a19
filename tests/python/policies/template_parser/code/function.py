"""Converts what users write to block specs, by the templates of the template store and the catalogue of components."""

import difflib
import json
import logging
import os
import sys
from collections import ChainMap

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from language import FILTERS, Expander, TemplateError

logger = logging.getLogger("template_parser")

CATALOGUE = os.path.join(os.path.dirname(__file__), "data", "components.json")

with open(CATALOGUE, encoding="utf-8") as file:
    BUILT_IN = json.load(file)


class SpecError(ValueError):
    def __init__(self, problems):
        super().__init__("; ".join(problems))
        self.problems = problems


class AIOSv1PolicyRule:
    def __init__(self, rule_id, settings, parameters):
        self.rule_id = rule_id
        self.settings = settings
        self.parameters = parameters
        self.components = dict(BUILT_IN["components"])
        self.fragments = dict(BUILT_IN["fragments"])
        self.converted = 0

    def eval(self, parameters, input_data, context):
        template = input_data.get("template_data")
        if isinstance(template, str):
            try:
                template = json.loads(template)
            except json.JSONDecodeError:
                raise SpecError(["template_data is not JSON"]) from None
        spec = input_data.get("spec")
        self._check(template, spec)
        component = self._component(spec)
        scope = ChainMap(
            {"spec": spec, "component": component, "cluster": parameters.get("cluster", "main")},
            parameters.get("values", {}),
        )
        expander = Expander(self.fragments, parameters.get("max_depth", 12))
        try:
            body = expander.expand(template["body"], scope)
        except TemplateError as error:
            logger.error("cannot convert %s: %s", spec.get("name"), error)
            if parameters.get("strict", True):
                raise
            return {"error": str(error), "at": list(error.path)}
        self.converted += 1
        return {"kind": template.get("kind", "Block"), "body": body, "fragments": expander.used}

    def _check(self, template, spec):
        if not isinstance(template, dict) or "body" not in template:
            raise SpecError(["template_data has no body"])
        if not isinstance(spec, dict):
            raise SpecError(["spec is not an object"])
        fields = template.get("fields", {})
        problems = [f"{name} is missing" for name, kind in fields.items() if kind.endswith("!") and name not in spec]
        for name, value in spec.items():
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                problems.append(f"{name} is unknown" + (f", perhaps {near[0]} is meant" if near else ""))
            elif not self._is_a(value, fields[name].rstrip("!")):
                problems.append(f"{name} is not a {fields[name].rstrip('!')}")
        if problems:
            raise SpecError(problems)

    @staticmethod
    def _is_a(value, kind):
        if isinstance(value, bool):
            return kind in ("boolean", "any")
        kinds = {"string": str, "number": (int, float), "list": list, "object": dict, "any": object, "boolean": ()}
        return isinstance(value, kinds[kind])

    def _component(self, spec):
        name = spec.get("component")
        if name is None:
            return dict(BUILT_IN["defaults"])
        if name not in self.components:
            near = difflib.get_close_matches(name, self.components, n=2)
            raise KeyError(f"{name}: {' or '.join(near) or 'nothing like it'}")
        return {**BUILT_IN["defaults"], **self.components[name]}

    def management(self, action, data):
        if action == "add_component":
            self.components[data["name"]] = data["component"]
            return {"status": "success", "components": sorted(self.components)}
        if action == "add_fragment":
            self.fragments[data["name"]] = data["body"]
            return {"status": "success", "fragments": sorted(self.fragments)}
        if action == "set_value":
            self.parameters.setdefault("values", {})[data["name"]] = data["value"]
            return {"status": "success", "values": self.parameters["values"]}
        if action == "describe":
            return {"filters": sorted(FILTERS), "components": sorted(self.components), "converted": self.converted}
        return {"status": "error", "message": f"Unknown action '{action}'"}
