"""A Hugging Face hub on this machine: repositories are folders, each with one commit."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class LocalHub:
    """The server; a context manager. `requests` holds the path of every request that came in."""

    def __init__(self) -> None:
        self.repos: dict[str, Path] = {}
        self.status: dict[str, int] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, *, body: bool) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.requests.append(path)
                status, headers, data = hub.answer(path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def add(self, repo: str, folder: Path) -> str:
        """Serve a folder as a repository, and return its commit."""
        self.repos[repo] = folder
        return self.commit(repo)

    def commit(self, repo: str) -> str:
        return hashlib.sha1(repo.encode()).hexdigest()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        for repo, folder in self.repos.items():
            commit = self.commit(repo)
            if path.startswith(f"/api/models/{repo}"):
                if status := self.status.get(repo):
                    return status, {"X-Error-Code": "GatedRepo"} if status == 403 else {}, b""
                revision = path.partition("/revision/")[2] or path.partition("/tree/")[2]
                if revision not in ("", "main", "v1", commit):
                    return 404, {"X-Error-Code": "RevisionNotFound"}, b""
                names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
                if "/tree/" in path:
                    tree = [
                        {"type": "file", "oid": "0" * 40, "size": (folder / n).stat().st_size, "path": n} for n in names
                    ]
                    return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
                facts = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
                return 200, {"Content-Type": "application/json"}, json.dumps(facts).encode()
            if path.startswith(f"/{repo}/resolve/"):
                file = folder / path.removeprefix(f"/{repo}/resolve/").partition("/")[2]
                if not file.is_file():
                    return 404, {"X-Error-Code": "EntryNotFound"}, b""
                data = file.read_bytes()
                tag = hashlib.sha256(data).hexdigest()
                return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": commit}, data
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def __enter__(self) -> LocalHub:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
