"""Expands a template document with the values of a spec."""

import re
from collections import ChainMap
from string import Template

from .errors import TemplateError, UnknownNameError
from .filters import FILTERS

EXPRESSION = re.compile(r"\$\{(?P<body>[^{}]+)\}")
MISSING = object()


class Expander:
    def __init__(self, fragments, max_depth=12):
        self.fragments = fragments
        self.max_depth = max_depth
        self.used = []

    def expand(self, template, scope, path=()):
        if len(path) > self.max_depth:
            raise TemplateError(path[:2], "it is nested too deeply")
        match template:
            case {"$if": condition, **rest}:
                branch = "then" if self._truth(condition, scope, path) else "else"
                return self.expand(rest.get(branch), scope, (*path, branch))
            case {"$for": str(name), "in": source, "do": body}:
                items = self.expand(source, scope, (*path, "in"))
                if not isinstance(items, list):
                    raise TemplateError(path, "$for needs a list")
                return [
                    self.expand(body, ChainMap({name: item, "index": index}, scope), (*path, str(index)))
                    for index, item in enumerate(items)
                ]
            case {"$include": str(name), **rest}:
                return self._include(name, rest.get("with", {}), scope, path)
            case dict():
                pairs = ((key, self.expand(each, scope, (*path, key))) for key, each in template.items())
                # What comes out as null is left out: optional fields are absent rather than empty.
                return {self._text(key, scope, path): value for key, value in pairs if value is not None}
            case list():
                return [self.expand(each, scope, (*path, str(index))) for index, each in enumerate(template)]
            case str():
                return self._value(template, scope, path)
            case _:
                return template

    def _include(self, name, values, scope, path):
        if name not in self.fragments:
            raise UnknownNameError(path, name)
        self.used.append(name)
        given = self.expand(values, scope, (*path, "with"))
        return self.expand(self.fragments[name], ChainMap(given, scope), (*path, name))

    def _truth(self, condition, scope, path):
        match condition:
            case {"equals": [left, right]}:
                return self.expand(left, scope, path) == self.expand(right, scope, path)
            case {"not": inner}:
                return not self._truth(inner, scope, path)
            case str(name):
                return bool(self._look_up(name, scope, None))
            case _:
                raise TemplateError(path, "the condition is none")

    def _value(self, text, scope, path):
        whole = EXPRESSION.fullmatch(text)
        # A text that is nothing but an expression keeps the type of its value.
        return self._evaluate(whole["body"], scope, path) if whole else self._text(text, scope, path)

    def _text(self, text, scope, path):
        text = EXPRESSION.sub(lambda match: str(self._evaluate(match["body"], scope, path)), text)
        try:
            return Template(text).substitute()
        except (KeyError, ValueError):
            raise TemplateError(path, "a dollar sign stands alone") from None

    def _evaluate(self, body, scope, path):
        name, *filters = (part.strip() for part in body.split("|"))
        value = self._look_up(name, scope, MISSING)
        if value is MISSING:
            if not any(each.startswith("default") for each in filters):
                raise UnknownNameError(path, name)
            value = None
        for each in filters:
            filter_name, _, argument = each.partition(":")
            if filter_name not in FILTERS:
                raise TemplateError(path, f"no filter {filter_name}")
            try:
                value = FILTERS[filter_name](value, argument or None)
            except (TypeError, ValueError):
                raise TemplateError(path, f"{filter_name} cannot be had of {name}") from None
        return value

    def _look_up(self, name, scope, missing):
        value = scope
        for part in name.split("."):
            if isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            elif isinstance(value, (dict, ChainMap)) and part in value:
                value = value[part]
            else:
                return missing
        return value
