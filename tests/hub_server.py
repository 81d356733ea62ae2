"""A stand-in for the Hugging Face Hub: the parts of its HTTP interface that reading and
pushing models call, with repositories in memory."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Repositories: name -> revision -> file -> bytes; `main` is the newest commit."""

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.large: dict[str, bytes] = {}  # contents by SHA-256
        self.asked: list[str] = []
        self.token: str | None = None  # the one that may write; None = anybody
        self.gated: set[str] = set()
        self.url = ""

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main") -> None:
        self.repos.setdefault(repo, {})[revision] = files


def commit_of(files: dict[str, bytes]) -> str:
    text = json.dumps({k: hashlib.sha1(v).hexdigest() for k, v in files.items()})
    return hashlib.sha1(text.encode()).hexdigest()


@contextmanager
def running():
    """Yields a `Hub` that answers at its `url`."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, content=b"", status=200, **headers):
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
                headers.setdefault("Content-Type", "application/json")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def missing(self, kind: str, status=404):
            self.answer(
                {"error": kind}, status, X_Error_Code=kind, X_Error_Message=kind
            )

        def files(self, repo: str, revision: str):
            """The files of a revision; None after an answer that says why not."""
            if repo in hub.gated:
                return self.missing("GatedRepo", 403)
            if repo not in hub.repos:
                return self.missing("RepoNotFound")
            found = hub.repos[repo]
            by_commit = {commit_of(files): files for files in found.values()}
            files = found.get(revision, by_commit.get(revision))
            return self.missing("RevisionNotFound") if files is None else files

        def do_GET(self):  # noqa: N802
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                repo, revision = "/".join(parts[2:4]), [*parts, "revision", "main"][5]
                files = self.files(repo, revision)
                if files is not None:
                    rows = [{"rfilename": name} for name in files]
                    sha = commit_of(files)
                    self.answer({"id": repo, "sha": sha, "siblings": rows})
            else:
                repo, revision = "/".join(parts[:2]), parts[3]
                files = self.files(repo, revision)
                if files is None:
                    return
                name = "/".join(parts[4:])
                if name not in files:
                    self.missing("EntryNotFound")
                    return
                etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
                self.answer(files[name], ETag=etag, X_Repo_Commit=commit_of(files))

        do_HEAD = do_GET  # noqa: N815

        def do_PUT(self):  # noqa: N802
            hub.asked.append(f"PUT {self.path}")
            data = self.rfile.read(int(self.headers["Content-Length"]))
            hub.large[hashlib.sha256(data).hexdigest()] = data
            self.answer()

        def do_POST(self):  # noqa: N802
            path = self.path.partition("?")[0]
            hub.asked.append(f"POST {path}")
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self.answer({"error": "Invalid username or password."}, 401)
                return
            parts = path.strip("/").split("/")
            if path == "/api/repos/create":
                asked = json.loads(data)
                repo = f"{asked['organization']}/{asked['name']}"
                hub.repos.setdefault(repo, {"main": {}})
                self.answer({"url": f"{hub.url}/{repo}"})
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif path.endswith("/info/lfs/objects/batch"):
                self.answer({"transfer": "basic", "objects": self.uploads(data)})
            elif parts[4] == "preupload":
                modes = {
                    True: "lfs",
                    False: "regular",
                }
                self.answer(
                    {
                        "files": [
                            {
                                "path": file["path"],
                                "uploadMode": modes[file["path"].endswith(".keras")],
                                "shouldIgnore": False,
                                "oid": None,
                            }
                            for file in json.loads(data)["files"]
                        ]
                    }
                )
            else:
                self.commit("/".join(parts[2:4]), parts[5], data)

        def uploads(self, data: bytes) -> list[dict]:
            return [
                {
                    "oid": o["oid"],
                    "size": o["size"],
                    "actions": {"upload": {"href": f"{hub.url}/large/{o['oid']}"}},
                }
                for o in json.loads(data)["objects"]
            ]

        def commit(self, repo: str, revision: str, data: bytes) -> None:
            files = dict(hub.repos[repo].get(revision, {}))
            for line in data.splitlines():
                row = json.loads(line)
                value = row["value"]
                if row["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif row["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
            hub.repos[repo][revision] = files
            oid = commit_of(files)
            self.answer(
                {"commitUrl": f"{hub.url}/{repo}/commit/{oid}", "commitOid": oid}
            )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
