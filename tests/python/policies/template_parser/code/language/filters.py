"""What can be done to a value: ${name | slug | default:none}."""

import hashlib
import json
import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, quote, urlencode, urlsplit

FILTERS = {}


def named(function):
    FILTERS[function.__name__.rstrip("_")] = function
    return function


@named
def slug(value, argument):
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-")


@named
def default(value, argument):
    return argument if value in (None, "") else value


@named
def int_(value, argument):
    return int(value)


@named
def upper(value, argument):
    return str(value).upper()


@named
def join(value, argument):
    return (argument or ",").join(str(each) for each in value)


@named
def json_(value, argument):
    return json.dumps(value, sort_keys=True)


@named
def digest(value, argument):
    return hashlib.sha1(str(value).encode("utf-8")).hexdigest()[: int(argument or 8)]


@named
def host(value, argument):
    return urlsplit(value).hostname


@named
def query(value, argument):
    """One value of a URL's query, or all of it in a fixed order."""
    values = parse_qs(urlsplit(value).query)
    if argument:
        return values.get(argument, [None])[0]
    return urlencode(sorted((key, each) for key, all_ in values.items() for each in all_))


@named
def quoted(value, argument):
    return quote(str(value), safe="")


@named
def under(value, argument):
    """A path inside another, wherever its dots would lead."""
    parts = [part for part in PurePosixPath(str(value)).parts if part not in ("/", "..")]
    return str(PurePosixPath(argument or "/", *parts))


@named
def suffix(value, argument):
    return PurePosixPath(str(value)).suffix.lstrip(".")
