"""The status codes by name: `codes.ok`, `codes.not_found`."""

from http import HTTPStatus

from .structures import LookupDict

codes = LookupDict()
for _status in HTTPStatus:
    codes[_status.name.lower()] = codes[_status.name] = _status.value
codes.update(okay=200, OKAY=200, all_good=200)
