"""A policies system of a few canned answers, which speaks its protocol over real HTTP."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What somebody asked."""

    method: str
    path: str
    authorization: str | None
    body: Any


class System:
    """Answers with what a test gave it for each method and path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        self._answers[method, path] = (status, body if isinstance(body, bytes) else json.dumps(body).encode())

    def executes(self, body: Any, status: int = 200, executor: str = "executor-0") -> None:
        self.answer("POST", f"/executor/{executor}/execute_policy", body, status)

    def _handler(system) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = json.loads(body) if body else None
                system.requests.append(Request(self.command, self.path, self.headers.get("Authorization"), given))
                missing = (404, b'{"success": false, "message": "no such route"}')
                status, answer = system._answers.get((self.command, self.path), missing)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_any

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> System:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def record(name: str, code: str, **fields: Any) -> dict[str, Any]:
    """A policy as somebody would create it; its URI is ``name:1.0-test``."""
    empty: dict[str, Any] = {}
    return {
        "name": name,
        "version": "1.0",
        "release_tag": "test",
        "policy_rule_uri": f"{name}:1.0-test",
        "metadata": empty,
        "tags": "",
        "code": code,
        "code_type": "",
        "type": "wasm_component_v1",
        "policy_input_schema": empty,
        "policy_output_schema": empty,
        "policy_settings_schema": empty,
        "policy_parameters_schema": empty,
        "policy_settings": empty,
        "policy_parameters": empty,
        "management_commands_schema": [],
        "functionality_data": empty,
        "description": "",
        **fields,
    }
