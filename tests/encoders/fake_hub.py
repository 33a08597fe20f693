"""A Hugging Face hub on the loopback: repositories are folders, one for each commit."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class FakeHub:
    """`commits` are (repository, commit) → folder; `refs` (repository, name of a ref) → commit."""

    commits: dict[tuple[str, str], Path] = field(default_factory=dict)
    refs: dict[tuple[str, str], str] = field(default_factory=dict)
    served: list[str] = field(default_factory=list)
    url: str = ""

    def publish(self, hub_id: str, folder: Path, commit: str, ref: str = "main") -> None:
        self.commits[hub_id, commit] = folder
        self.refs[hub_id, ref] = commit

    def commit(self, hub_id: str, revision: str) -> str:
        return self.refs.get((hub_id, revision), revision)


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.strip("/")
        parts = path.split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:])
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"{}")

    def _api(self, hub_id: str, rest: list[str]) -> None:
        hub = self.hub
        if rest == ["refs"]:
            named = [(ref, commit) for (repo, ref), commit in hub.refs.items() if repo == hub_id]
            kinds = {"branches": [], "pullRequests": [], "converts": [], "tags": []}
            for ref, commit in named:
                kind = "pullRequests" if ref.startswith("refs/pr/") else "branches"
                kinds[kind].append({"name": ref, "ref": ref, "targetCommit": commit})
            self._send(200, json.dumps(kinds).encode())
            return
        revision = "/".join(rest[1:2]) or "main"
        commit = hub.commit(hub_id, revision.replace("%2F", "/"))
        folder = hub.commits.get((hub_id, commit))
        if folder is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = sorted(path for path in folder.iterdir())
        if rest[:1] == ["tree"]:
            listed = [_entry(path) for path in files]
            self._send(200, json.dumps(listed).encode())
            return
        names = [{"rfilename": path.name} for path in files]
        info = {"id": hub_id, "modelId": hub_id, "sha": commit, "siblings": names, "tags": []}
        self._send(200, json.dumps(info | {"private": False}).encode())

    def _file(self, hub_id: str, revision: str, name: str) -> None:
        commit = self.hub.commit(hub_id, revision)
        file = self.hub.commits.get((hub_id, commit), Path("/absent")) / name
        if not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        content = file.read_bytes()
        if self.command == "GET":
            self.hub.served.append(name)
        tag = f'"{sha256(content).hexdigest()[:40]}"'
        self._send(200, content, {"X-Repo-Commit": commit, "ETag": tag})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def _entry(path: Path) -> dict[str, object]:
    digest = sha256(path.read_bytes()).hexdigest()[:40]
    return {"type": "file", "oid": digest, "size": path.stat().st_size, "path": path.name}
