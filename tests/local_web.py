"""A web server on this machine that answers what a test tells it to, slowly, halfway or wrongly if need be."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Reply:
    """One answer.

    Args:
        body: its content; dicts and lists are sent as JSON.
        cut: send only so many bytes of it, and hang up, although the whole length was promised.
        drip: seconds between two bytes of the body.
        header_drip: seconds between two bytes of an endless header.
        stall: seconds before anything is sent.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    header_drip: float = 0.0
    stall: float = 0.0

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """One request that came in."""

    path: str
    query: dict[str, str]
    headers: Message
    at: float


class LocalWeb:
    """The server; a context manager. A path answers its replies one after another, and the last one from then on."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._replies: dict[str, list[Any]] = {}
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalWeb:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, *replies: Any) -> None:
        """Set what a path answers: replies, or functions of the request that give one."""
        self._replies[path] = list(replies)

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(parts.path, dict(parse_qsl(parts.query)), handler.headers, time.monotonic())
        self.asked.append(asked)
        replies = self._replies.get(parts.path)
        reply = Reply("nothing here", 404) if not replies else replies.pop(0) if len(replies) > 1 else replies[0]
        if not isinstance(reply, Reply):
            reply = reply(asked)
        try:
            self._send(handler, reply)
        except OSError:  # the client hung up
            handler.close_connection = True

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.close_connection = True
        time.sleep(reply.stall)
        content = reply.content
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.header_drip:
            handler.flush_headers()
            while True:
                handler.wfile.write(b"X")
                time.sleep(reply.header_drip)
        if reply.status != 304:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if reply.drip:
            for byte in content:
                handler.wfile.write(bytes([byte]))
                time.sleep(reply.drip)
        else:
            handler.wfile.write(content[: reply.cut])
