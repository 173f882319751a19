"""What `requirements.txt` names, and whether it is here."""

import re
import sys
from collections.abc import Iterable

from . import failures

FILE = "requirements.txt"
PACKAGES = "site-packages/"
# A distribution's folder of facts, from which it has its name.
FACTS = re.compile(r"site-packages/([A-Za-z0-9._]+?)-[^/]*\.dist-info/")
MARKER = re.compile(r"\s*\(?\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*[\"']([^\"']*)[\"']\s*\)?\s*")


def check(text: str, files: Iterable[str]) -> None:
    """Refuses what is neither in the interpreter nor in the package."""
    here = provided(files)
    missing = []
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        wanted, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]*", wanted).group()  # type: ignore[union-attr]
        if line and applies(marker) and (line.startswith("-") or canonical(name) not in here):
            missing.append(line)
    if missing:
        named = ", ".join(f"`{line}`" for line in missing[:10])
        why = "which is neither in the interpreter nor in the package; `lictor pack` puts what is pure Python there"
        raise failures.failure("unknown_import", f"`code/{FILE}` names {named}, {why}")


def provided(files: Iterable[str]) -> set[str]:
    """The names of all that can be imported, and of the distributions that were packed."""
    res = {canonical(name) for name in sys.modules if "." not in name}
    for name in files:
        facts = FACTS.match(name)
        if facts:
            res.add(canonical(facts[1]))
        res.add(canonical(name.removeprefix(PACKAGES).partition("/")[0].removesuffix(".py")))
    return res


def canonical(name: str) -> str:
    """The form in which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def applies(marker: str) -> bool:
    """Whether a requirement is one of this interpreter. What is not understood applies."""
    return any(all(holds(part) for part in one.split(" and ")) for one in marker.split(" or "))


def holds(part: str) -> bool:
    found = MARKER.fullmatch(part)
    if not found:
        return True
    name, operator, value = found.groups()
    have = {
        "python_version": ".".join(map(str, sys.version_info[:2])),
        "python_full_version": ".".join(map(str, sys.version_info[:3])),
        "sys_platform": sys.platform,
        "platform_system": "wasi",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }.get(name)
    if have is None:
        return True
    ours, theirs = (number(have), number(value)) if name.startswith("python") else (have, value)
    return {
        "==": ours == theirs,
        "!=": ours != theirs,
        "<": ours < theirs,  # type: ignore[operator]
        "<=": ours <= theirs,  # type: ignore[operator]
        ">": ours > theirs,  # type: ignore[operator]
        ">=": ours >= theirs,  # type: ignore[operator]
    }[operator]


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
