"""The real server, as a child process in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from system import record


class Lictor:
    """A running server, and what is put into its registry."""

    def __init__(self, binary: Path, home: Path, guests: Path) -> None:
        self._guests, self._n_examples = guests, 0
        #: Where tests put code of their own.
        self.files = home / "files"
        self.files.mkdir()
        command: list[str | Path] = [
            binary,
            "serve",
            "--data-dir",
            home / "data",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]
        command += ["--allow-file", guests, "--allow-file", self.files]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LICTOR_")}
        with open(home / "log", "wb") as log:
            self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line.startswith("listening on "):
            self.__exit__()
            raise RuntimeError(f"the server did not start: {(home / 'log').read_text()}")
        self.url = line.removeprefix("listening on ").strip()

    def __enter__(self) -> Lictor:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait(timeout=60)
        if self._server.stdout is not None:
            self._server.stdout.close()

    def create(self, policy: dict[str, Any]) -> str:
        """Puts a record into the registry, and returns its URI."""
        uri = f"{policy['name']}:{policy['version']}-{policy['release_tag']}"
        body = json.dumps(policy).encode()
        request = urllib.request.Request(f"{self.url}/policy", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            answer = json.load(reply)
        assert answer["success"] is True, answer
        return uri

    def example(self, example: str, **fields: Any) -> str:
        """One of the example policies, under a name of its own."""
        policy = json.loads((self._guests / f"{example}.json").read_text())
        self._n_examples += 1
        name = f"{example}{self._n_examples}"
        policy |= {"code": f"file://{self._guests}/{example}.zip", "name": name, **fields}
        return self.create(policy)

    def python(self, name: str, source: str | Path, **fields: Any) -> str:
        """A Python class: its source, or the folder that has it under ``code/``."""
        archive = self.files / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            if isinstance(source, str):
                packed.writestr("code/function.py", source)
            else:
                for file in sorted(path for path in (source / "code").rglob("*") if path.is_file()):
                    packed.write(file, file.relative_to(source))
        return self.create(record(name, f"file://{archive}", type="python_class_v1", **fields))
