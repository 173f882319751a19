"""Cleaning of values of any shape."""

import base64
import binascii
import html
import re
import struct
import zlib
from functools import reduce, singledispatch

SPACES = re.compile(r"\s+")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-zA-Z][\w-]*)[^>]*>")
HEADER = struct.Struct(">4sHHI")


class PacketRejected(ValueError):
    """The packet must not reach the block."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def compose(*functions):
    """One function that applies `functions` from the left to the right."""
    return lambda value: reduce(lambda result, function: function(result), functions, value)


def strip_tags(text):
    return TAG.sub(lambda match: " " if match["name"].lower() in ("br", "p", "div") else "", text)


def collapse(text):
    return SPACES.sub(" ", text).strip()


clean_text = compose(html.unescape, strip_tags, lambda text: CONTROL.sub("", text), collapse)


@singledispatch
def clean(value):
    raise PacketRejected("type", "the packet has a value of no JSON type")


@clean.register(type(None))
@clean.register(bool)
@clean.register(int)
@clean.register(float)
def _(value):
    return value


@clean.register
def _(value: str):
    return clean_text(value)


@clean.register
def _(value: list):
    return [clean(each) for each in value]


@clean.register
def _(value: dict):
    return {collapse(key).lower().replace(" ", "_"): clean(each) for key, each in value.items()}


def decode_frame(text):
    """A binary frame: magic, version, count and checksum, then `count` unsigned shorts."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PacketRejected("frame", "not base64") from None
    if len(raw) < HEADER.size:
        raise PacketRejected("frame", f"{len(raw)} bytes are too few")
    magic, version, count, checksum = HEADER.unpack_from(raw)
    body = raw[HEADER.size :]
    if magic != b"FRAM" or version != 1:
        raise PacketRejected("frame", "unknown format")
    if len(body) != 2 * count:
        raise PacketRejected("frame", f"{count} samples are announced and {len(body) // 2} are there")
    if zlib.crc32(body) != checksum:
        raise PacketRejected("frame", "the checksum is wrong")
    return list(struct.unpack(f">{count}H", body))


def encode_frame(samples):
    body = struct.pack(f">{len(samples)}H", *samples)
    return base64.b64encode(HEADER.pack(b"FRAM", 1, len(samples), zlib.crc32(body)) + body).decode("ascii")
