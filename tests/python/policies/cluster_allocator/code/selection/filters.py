"""Compiles filter documents, such as {"and": [{"field": "tags", "op": "has", "value": "gpu"}, ...]}, to predicates."""

import fnmatch
import operator
import re
from functools import partial, reduce


class FilterError(ValueError):
    pass


MISSING = object()


def lookup(path, document):
    def step(value, part):
        if isinstance(value, dict):
            return value.get(part, MISSING)
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            return value[int(part)]
        return MISSING

    return reduce(step, path.split("."), document)


def ordered(compare, actual, expected):
    """Numbers compare with numbers and texts with texts; anything else does not match."""
    numbers = isinstance(actual, (int, float)) and isinstance(expected, (int, float))
    texts = isinstance(actual, str) and isinstance(expected, str)
    return (numbers or texts) and compare(actual, expected)


OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": partial(ordered, operator.gt),
    ">=": partial(ordered, operator.ge),
    "<": partial(ordered, operator.lt),
    "<=": partial(ordered, operator.le),
    "in": lambda actual, expected: actual in expected,
    "has": lambda actual, expected: isinstance(actual, (list, str, dict)) and expected in actual,
    "glob": lambda actual, expected: isinstance(actual, str) and fnmatch.fnmatchcase(actual, expected),
    "matches": lambda actual, expected: isinstance(actual, str) and re.search(expected, actual) is not None,
}


def compile_filter(document):
    match document:
        case {"and": [*parts]}:
            predicates = [compile_filter(part) for part in parts]
            return lambda value: all(predicate(value) for predicate in predicates)
        case {"or": [*parts]}:
            predicates = [compile_filter(part) for part in parts]
            return lambda value: any(predicate(value) for predicate in predicates)
        case {"not": part}:
            predicate = compile_filter(part)
            return lambda value: not predicate(value)
        case {"field": str(path), "exists": bool(wanted)}:
            return lambda value: (lookup(path, value) is not MISSING) is wanted
        case {"field": str(path), "op": str(name), "value": expected}:
            if name not in OPERATORS:
                raise FilterError(f"no operator {name!r}")
            compare = OPERATORS[name]

            def predicate(value):
                actual = lookup(path, value)
                return actual is not MISSING and bool(compare(actual, expected))

            return predicate
        case {} if not document:
            return lambda value: True
        case _:
            raise FilterError("a filter is and, or, not, or a field with an operator and a value")
