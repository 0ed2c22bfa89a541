"""A stand-in of the Hugging Face Hub: its HTTP interface as huggingface_hub uses it, with repositories in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_stand_in"
LICENCES = ("apache-2.0", "cc-by-4.0", "mit", "other")
LARGE = (".safetensors", ".model")
"""What the Hub keeps as large files, in storage of its own."""

Files = dict[str, bytes]


@dataclass
class Repository:
    """Its commits and what its branches and tags stand for."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Files, message: str, branch: str = "main") -> str:
        content = [f"{name} {hashlib.sha1(file).hexdigest()}" for name, file in sorted(files.items())]
        commit = hashlib.sha1("\n".join([str(len(self.commits)), *content]).encode()).hexdigest()
        self.commits[commit], self.refs[branch] = files, commit
        self.messages.append(message)
        return commit


@dataclass
class Hub:
    """The server's content and its faults."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: Files = field(default_factory=dict)
    """Large files by SHA-256"""
    cuts: dict[str, int] = field(default_factory=dict)
    """Name of a file -> the number of times that its download is cut in the middle; of `commit`, its answer"""
    status: int | None = None
    """Every request is answered with this error"""
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def cut(self, name: str) -> bool:
        self.cuts[name] = self.cuts.get(name, 0) - 1
        return self.cuts[name] >= 0


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def file_hash(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else git_hash(content)


class Refused(Exception):
    """An answer with an error."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message or code


class Handler(BaseHTTPRequestHandler):
    """Answers requests from the `hub` of its server."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, Server)
        return self.server.hub

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.hub.requests.append((method, path))
        try:
            if self.hub.status is not None:
                raise Refused(self.hub.status, "", "fault")
            for pattern, answer in ROUTES.items():
                if found := re.fullmatch(pattern, f"{method} {path}"):
                    answer(self, body, *map(unquote, found.groups()))
                    return
            raise Refused(404, "NotFound", path)
        except Refused as refused:
            error = {"error": refused.message, "url": f"{self.hub.url}/me/model"}
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            self.send(json.dumps(error).encode(), refused.status, headers)

    def send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def send_json(self, value: Any) -> None:
        self.send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    # --- who may do what ---

    def check_token(self) -> bool:
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return given is not None

    def find(self, name: str) -> Repository:
        known = self.check_token()
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not known):
            raise Refused(404 if known else 401, "RepoNotFound", "Repository not found")
        return repository

    def find_commit(self, name: str, revision: str) -> tuple[Repository, str]:
        repository = self.find(name)
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    def find_writable(self, name: str) -> Repository:
        if not self.check_token():
            raise Refused(401, "", "Unauthorized")
        return self.find(name)

    # --- reading ---

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        repository, commit = self.find_commit(name, revision)
        files = [{"rfilename": file} for file in repository.commits[commit]]
        self.send_json({"id": name, "sha": commit, "private": repository.private, "siblings": files})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        repository, commit = self.find_commit(name, revision)
        rows = []
        for path, content in repository.commits[commit].items():
            row: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
            if path.endswith(LARGE):
                row["lfs"] = {"oid": file_hash(path, content), "size": len(content), "pointerSize": 100}
            rows.append(row)
        self.send_json(rows)

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        repository, commit = self.find_commit(name, revision)
        if repository.gated and not self.check_token():
            raise Refused(401, "GatedRepo", "Access to this model is restricted")
        content = repository.commits[commit].get(path)
        if content is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file_hash(path, content)}"', "Accept-Ranges": "bytes"}
        first = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(first[1]) if first else 0
        if first:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers["Content-Length"] = str(len(content) - start)
        cut = self.command == "GET" and self.hub.cut(path)
        self.send(content[start:], 206 if first else 200, headers, cut)

    # --- writing ---

    def create(self, body: bytes) -> None:
        given = json.loads(body)
        if not self.check_token():
            raise Refused(401, "", "Unauthorized")
        name = f"{given['organization']}/{given['name']}"
        if given["organization"] != "me":
            raise Refused(403, "", "You don't have the rights to create a model under this namespace")
        if name in self.hub.repositories:
            raise Refused(409, "", "You already created this model repo")
        repository = self.hub.repositories[name] = Repository(private=given.get("visibility") == "private")
        repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self.send_json({"url": f"{self.hub.url}/{name}"})

    def branch(self, body: bytes, name: str, branch: str) -> None:
        repository = self.find_writable(name)
        if branch in repository.refs:
            raise Refused(409, "", "Reference already exists")
        repository.refs[branch] = repository.refs["main"]
        self.send(b"")

    def validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        errors = [*card_errors(content)]
        if self.headers["Accept"] == "text/plain":
            self.send("\n".join(errors).encode(), 400 if errors else 200)
            return
        answer = json.dumps({"errors": [{"message": error} for error in errors], "warnings": []}).encode()
        self.send(answer, 400 if errors else 200)

    def preupload(self, body: bytes, name: str, branch: str) -> None:
        repository = self.find_writable(name)
        known = repository.commits[repository.refs[branch]]
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": file_hash(file["path"], known[file["path"]]) if file["path"] in known else None,
            }
            for file in json.loads(body)["files"]
        ]
        self.send_json({"files": files})

    def batch(self, body: bytes, name: str) -> None:
        self.find_writable(name)
        objects = []
        for given in json.loads(body)["objects"]:
            row = {"oid": given["oid"], "size": given["size"]}
            if given["oid"] not in self.hub.objects:
                row["actions"] = {"upload": {"href": f"{self.hub.url}/storage/{given['oid']}"}}
            objects.append(row)
        self.send_json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        if self.hub.cut("storage"):
            self.close_connection = True
            return
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        self.send(b"")

    def commit(self, body: bytes, name: str, branch: str) -> None:
        repository = self.find_writable(name)
        head, *rows = (json.loads(line) for line in body.splitlines())
        parent = repository.refs[branch]
        if head["value"].get("parentCommit", parent) != parent:
            raise Refused(412, "", "A commit has happened since.")
        if self.hub.cut("commit"):
            self.close_connection = True
            return
        files = dict(repository.commits[parent])
        for row in rows:
            path = row["value"]["path"]
            if row["key"] == "file":
                files[path] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[path] = self.hub.objects[row["value"]["oid"]]
            else:
                assert row["key"] == "deletedFile"
                del files[path]
        commit = repository.commit(files, head["value"]["summary"], branch)
        self.send_json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})


ROUTES = {
    r"GET /api/models/([^/]+/[^/]+)/tree/([^/]+)": Handler.tree,
    r"GET /api/models/([^/]+/[^/]+)/revision/([^/]+)": Handler.info,
    r"GET /api/models/([^/]+/[^/]+)": Handler.info,
    r"(?:GET|HEAD) /([^/]+/[^/]+)/resolve/([^/]+)/(.+)": Handler.resolve,
    r"POST /api/repos/create": Handler.create,
    r"POST /api/models/([^/]+/[^/]+)/branch/([^/]+)": Handler.branch,
    r"POST /api/validate-yaml": Handler.validate,
    r"POST /api/models/([^/]+/[^/]+)/preupload/([^/]+)": Handler.preupload,
    r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch": Handler.batch,
    r"PUT /storage/(\w+)": Handler.store,
    r"POST /api/models/([^/]+/[^/]+)/commit/([^/]+)": Handler.commit,
}


class Server(ThreadingHTTPServer):
    """The server of a stand-in."""

    daemon_threads = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub


def card_errors(content: str) -> Iterator[str]:
    """What the Hub's validator says against the metadata of a model card, as far as its documentation tells."""
    found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if not found:
        yield "no metadata"
        return
    values = yaml.safe_load(found[1])
    if values.get("license") not in LICENCES:
        yield f'"license" must be one of [{", ".join(LICENCES)}]'
    for code in values.get("language") or []:
        if not re.fullmatch("[a-z]{2,3}", code):
            yield f'"language" {code} must be an ISO 639 code'
    for model in values.get("model-index") or []:
        assert isinstance(model["name"], str)
        for result in model["results"]:
            assert isinstance(result["task"]["type"], str)
            assert {"type", "name"} <= result["dataset"].keys()
            for metric in result["metrics"]:
                assert isinstance(metric["type"], str)
                assert isinstance(metric["value"], float)


@contextmanager
def serving() -> Iterator[Hub]:
    """A running stand-in."""
    hub = Hub()
    server = Server(hub)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """Variables that lead a process of its own to the stand-in."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


@contextmanager
def connected(hub: Hub, home: Path, token: str | None = TOKEN) -> Iterator[None]:
    """Lead huggingface_hub in this process to the stand-in; it reads most variables only when it is imported."""
    import huggingface_hub
    from huggingface_hub import constants

    from seq2seq.hub import download

    values = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(home / "agents.json"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setattr(constants, name, value, raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("HF_TOKEN", raising=False)
        if token:
            patch.setenv("HF_TOKEN", token)
        download.cache_clear()
        huggingface_hub.close_session()
        try:
            yield
        finally:
            huggingface_hub.close_session()
            download.cache_clear()
