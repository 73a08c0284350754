"""Push models to, and read them from, a service that speaks huggingface_hub's protocol."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from witw.cvig.network import model_file
from witw.errors import UserError
from witw.locating import hub

REPO, COMMIT = "someone/city-finder", "c0ffee" * 6 + "beef"
FACTS = {
    "architecture": {"backbone": "small", "head": "polar", "chip_m": 225.0},
    "licences": {"weights": "CC-BY-SA-4.0", "reason": "So.", "imagery": {}, "photos": {}},
}


class Service(BaseHTTPRequestHandler):
    """Repositories in memory: creation, LFS uploads, commits, downloads."""

    files: ClassVar[dict[str, bytes]] = {}
    blobs: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value=b"", **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def base(self):
        return f"http://{self.headers['Host']}"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        self.asked.append(self.path)
        if self.headers.get("Authorization") != "Bearer hf_right":
            self.body()
            return self.answer(401, {"error": "Invalid credentials"})
        told = self.body()
        if self.path == "/api/repos/create":
            return self.answer(200, {"url": f"{self.base}/{REPO}"})
        if self.path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.path.startswith("/api/models/") and "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(told)["files"]]
            files = [
                {"path": n, "uploadMode": "lfs" if n.endswith("safetensors") else "regular",
                 "shouldIgnore": False} for n in names
            ]  # fmt: skip
            return self.answer(200, {"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**o, "actions": {"upload": {"href": f"{self.base}/upload/{o['oid']}"}}}
                for o in json.loads(told)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if "/commit/" in self.path:
            for line in map(json.loads, told.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.files[value["path"]] = self.blobs[value["oid"]]
            url = f"{self.base}/{REPO}/commit/{COMMIT}"
            return self.answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})
        return self.answer(404, {"error": self.path})

    def do_PUT(self):
        self.blobs[self.path.rsplit("/", 1)[1]] = self.body()
        self.answer(200)

    def do_GET(self):
        self.asked.append(self.path)
        parts = self.path.split("?")[0].split("/")
        if self.path.startswith("/api/models/") and "xet-write-token" in self.path:
            return self.answer(404, {"error": "no xet"})
        if self.path.startswith(f"/api/models/{REPO}"):
            return self.answer(200, {"id": REPO, "sha": COMMIT, "siblings": []})
        if len(parts) > 5 and "/".join(parts[1:3]) == REPO and parts[3] == "resolve":
            if parts[4] not in ("main", COMMIT):
                return self.answer(404, X_Error_Code="RevisionNotFound")
            name = "/".join(parts[5:])
            if name not in self.files:
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            body = self.files[name]
            digest = hashlib.sha256(body).hexdigest()
            return self.answer(200, body, X_Repo_Commit=COMMIT, ETag=f'"{digest}"')
        return self.answer(404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls


@pytest.fixture(scope="module")
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "mine.safetensors"
    model_file.write(path, {"a": torch.arange(9.0)}, FACTS)
    return path


def call(code, service, home, token="hf_right"):
    """Run code in a separate process, because huggingface_hub reads its settings on import."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": service, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_TOKEN": token} if token else {}
    program = "import sys\nfrom witw import stage\nfrom witw.__main__ import run\n" + code
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )


def push(model, service, home, token="hf_right"):
    code = f"stage.execute(lambda: run(['push-model', '{REPO}', '--model', {str(model)!r}]))"
    return call(code, service, home, token)


def fetch(text, service, home):
    code = (
        "from witw.locating.hub import fetch\n"
        f"stage.execute(lambda: print(fetch({text!r})))"
    )  # fmt: skip
    return call(code, service, home)


def test_a_model_is_pushed_with_its_card_and_read_back(service, model, tmp_path):
    done = push(model, service, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"/{REPO}/commit/{COMMIT}")
    assert Service.files["witw.safetensors"] == model.read_bytes()
    card = Service.files["README.md"].decode()
    assert card.startswith("---\nlicense: cc-by-sa-4.0\n")
    assert f"hf://{REPO}" in card
    got = fetch(f"hf://{REPO}", service, tmp_path)
    assert got.returncode == 0, got.stderr
    assert Path(got.stdout.strip()).read_bytes() == model.read_bytes()
    # A fetched file is available without the service.
    again = fetch(f"hf://{REPO}", "http://127.0.0.1:9", tmp_path)
    assert again.stdout == got.stdout, again.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"hf://{REPO}@v9", "the repository has no revision v9"),
        (f"hf://{REPO}/other.safetensors", "the repository has no file other.safetensors"),
        ("hf://nobody/nothing", "there is no such repository, or it is private"),
        (f"hf://{REPO}/README.md", "is not a model of witw"),
    ],
)
def test_each_mistake_gives_one_sentence(service, model, tmp_path, text, said):
    Service.files.setdefault("README.md", b"# A card, and no model at all\n")
    done = fetch(text, service, tmp_path)
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("witw: ")]
    assert said in line
    assert "Traceback" not in done.stderr


def test_a_missing_token_or_service_is_reported(service, model, tmp_path):
    done = push(model, service, tmp_path, token="hf_wrong")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be pushed to someone/city-finder" in done.stderr
    assert "HF_TOKEN" in done.stderr
    done = fetch(f"hf://{REPO}", "http://127.0.0.1:9", tmp_path / "empty")
    assert done.returncode == 1
    assert "the service cannot be reached" in done.stderr


def test_addresses_are_parsed():
    assert hub.parse("hf://a/b") == hub.Address("a/b")
    assert hub.parse("hf://a/b.c@v1.0") == hub.Address("a/b.c", revision="v1.0")
    assert hub.parse("hf://a/b/c/d.safetensors@main") == hub.Address(
        "a/b", "c/d.safetensors", "main"
    )
    for text in ("hf://a", "hf://", "https://a/b", "hf://a/b@"):
        with pytest.raises(UserError, match="is not the address of a model"):
            hub.parse(text)
