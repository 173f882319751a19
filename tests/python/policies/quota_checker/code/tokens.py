"""Signed session tokens: `claims.signature`, both in URL-safe base64."""

import base64
import hashlib
import hmac
import json


class TokenError(Exception):
    """The token was not made by us, or is not one."""


def _encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(key, body):
    return hmac.new(key.encode("utf-8"), body.encode("ascii"), hashlib.sha256).digest()


def issue(key, claims):
    body = _encode(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode("utf-8"))
    return f"{body}.{_encode(_signature(key, body))}"


def verify(key, token):
    body, dot, signature = token.partition(".")
    if not dot:
        raise TokenError("the token has no signature")
    try:
        given = _decode(signature)
    except ValueError:
        raise TokenError("the signature is not base64") from None
    if not hmac.compare_digest(given, _signature(key, body)):
        raise TokenError("the signature is wrong")
    return json.loads(_decode(body))
