"""A stand-in for the Hugging Face hub: the endpoints that an upload and a download ask, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors",)  # kept outside of the commit, as Git LFS does


class Hub(ThreadingHTTPServer):
    """Its repositories: files by name. refusals are statuses by a part of a request's path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.refusals: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def stand_in() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def reply(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, found: Any, status: int = 200) -> None:
        self.reply(status, json.dumps(found).encode(), Content_Type="application/json")

    def refused(self) -> bool:
        for part, status in self.server.refusals.items():
            if part in self.path:
                self.json({"error": "refused"}, status)
                return True
        guarded = self.path.startswith("/api/whoami") or self.command == "POST"
        if guarded and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.json({"error": "Invalid credentials"}, 401)
            return True
        return False

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/":
            self.reply(200)
        elif self.refused():
            return
        elif self.path.startswith("/api/whoami-v2"):
            self.json({"type": "user", "name": "somebody", "orgs": []})
        elif self.path.startswith("/api/models/"):
            self.describe()
        else:
            self.download()

    def describe(self) -> None:
        parts = self.path.partition("?")[0].split("/")
        name, kind = "/".join(parts[3:5]), parts[5] if len(parts) > 5 else ""
        files = self.server.repositories.get(name)
        if files is None:
            self.json({"error": "Repository not found"}, 404)
        elif kind == "tree":
            rows = [
                {"type": "file", "path": path, "size": len(content), "oid": etag(content)}
                for path, content in files.items()
            ]
            self.json(rows)
        else:
            siblings = [{"rfilename": path} for path in files]
            self.json({"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings})

    def download(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        content = self.server.repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
        if content is None:
            missing = (
                "EntryNotFound"
                if "/".join(parts[:2]) in self.server.repositories
                else "RepoNotFound"
            )
            self.reply(404, X_Error_Code=missing)
        else:
            self.reply(200, content, ETag=f'"{etag(content)}"', X_Repo_Commit=COMMIT)

    def do_PUT(self) -> None:
        content = self.body()
        self.server.blobs[hashlib.sha256(content).hexdigest()] = content
        self.reply(200)

    def do_POST(self) -> None:
        body = self.body()
        if self.refused():
            return
        parts = self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.server.repositories:
                self.json({"error": "exists", "url": f"{self.server.address}/{name}"}, 409)
                return
            self.server.repositories[name] = {".gitattributes": b""}
            self.server.private[name] = asked.get("visibility") == "private"
            self.json({"url": f"{self.server.address}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            broken = "model-index: broken" in json.loads(body)["content"]
            errors = [{"message": "model-index is no list"}] if broken else []
            self.json({"errors": errors, "warnings": []}, 400 if broken else 200)
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self.json({"files": files})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **one,
                    "actions": {"upload": {"href": f"{self.server.address}/upload/{one['oid']}"}},
                }
                for one in json.loads(body)["objects"]
            ]
            self.json({"transfer": "basic", "objects": objects})
        elif "/commit/" in self.path:
            self.commit("/".join(parts[2:4]), body)
        else:
            self.reply(404)

    def commit(self, name: str, body: bytes) -> None:
        files = self.server.repositories[name]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        self.json(
            {"commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT}
        )

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def etag(content: bytes) -> str:
    """Git's id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
