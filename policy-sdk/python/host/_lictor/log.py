"""Standard output and standard error as lines of the policy's log."""

import io

from wit_world.imports import logging as wasi_logging


class Lines(io.TextIOBase):
    """A text stream whose lines become entries of the log."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, level: wasi_logging.Level) -> None:
        self.name = name
        self.level = level
        self.begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        *whole, self.begun = (self.begun + text).split("\n")
        for line in whole:
            self.say(line)
        # Kept without an end, it would only take memory until the host cuts it.
        if len(self.begun) > 65536:
            self.end_line()
        return len(text)

    def say(self, line: str) -> None:
        wasi_logging.log(self.level, self.name, line.encode("utf-8", self.errors).decode("utf-8"))

    def end_line(self) -> None:
        """A line that a call began ends with the call."""
        if self.begun:
            line, self.begun = self.begun, ""
            self.say(line)

    @property
    def buffer(self) -> "Bytes":
        return Bytes(self)


class Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        self.lines.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)


STDOUT = Lines("stdout", wasi_logging.Level.INFO)
STDERR = Lines("stderr", wasi_logging.Level.WARN)


def end_lines() -> None:
    STDOUT.end_line()
    STDERR.end_line()
